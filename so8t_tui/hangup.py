"""A terminal that may be gone: a closed window, a lost connection, an ended tmux.

Textual writes in a thread of its own, which ends at the first error; then everything that is
written waits for it for ever. And whenever the process is told to continue, which a terminal that
hangs up does as well, it begins to read once more beside what reads already, and never ends.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Callable
from typing import IO, Any

from textual.driver import Driver


def survive_hangup(driver: Driver, gone: Callable[[], object]) -> None:
    """Have a driver of a terminal survive its end; `gone` is called then, in a thread of its own.

    Call it in the main thread, before the driver starts. Other drivers are left as they are.
    """
    linux: Any = driver
    if isinstance(getattr(linux, "_file", None), io.TextIOBase):
        linux._file = Terminal(linux._file, gone)
    if hasattr(linux, "_sigcont_application"):

        def go_on(*told: Any) -> None:
            if linux._must_signal_resume:  # it was suspended
                linux._sigcont_application(*told)

        signal.signal(signal.SIGCONT, go_on)


class Terminal:
    """A terminal's file, which takes what is written after it is gone as well.

    `gone` is called once then, in the thread that writes.
    """

    def __init__(self, file: IO[str], gone: Callable[[], object]) -> None:
        self._file = file
        self._gone = gone
        self._is_gone = False

    def write(self, text: str) -> int:
        """Write, or do nothing where nobody can read it."""
        return self._try(lambda: self._file.write(text)) or len(text)

    def flush(self) -> None:
        """Send what was written."""
        self._try(self._file.flush)

    def fileno(self) -> int:
        """The number of the file behind it."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Whether the file is, or was, a terminal."""
        return self._file.isatty()

    def _try(self, act: Callable[[], int | None]) -> int | None:
        if self._is_gone:
            return None
        try:
            return act()
        except OSError:
            self._is_gone = True
            self._gone()
            return None

"""A program in a pseudo-terminal of its own, watched from outside: bytes, times and the picture."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType

import psutil
import pyte

_READ_BYTES = 1 << 16


class Terminal:
    """Runs a command in a pty of `columns` x `rows`; use it as a context."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.began = time.monotonic()
        self.bytes_read = 0
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._unfed: list[bytes] = []
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            env.update(environment or {})
            try:
                os.execvpe(command[0], list(command), env)
            finally:
                os._exit(127)
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as a window manager does."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self._screen.resize(rows, columns)

    @property
    def process(self) -> psutil.Process:
        """The program's process."""
        return psutil.Process(self.pid)

    def read(self, timeout_s: float) -> bytes:
        """What comes within the time, or the first piece of it; empty where nothing comes."""
        ready, _, _ = select.select([self._master], [], [], timeout_s)
        if not ready:
            return b""
        try:
            piece = os.read(self._master, _READ_BYTES)
        except OSError:
            return b""
        self.bytes_read += len(piece)
        self._unfed.append(piece)
        return piece

    def drain(self, seconds: float) -> int:
        """Read for so long; returns the bytes that came."""
        before, end = self.bytes_read, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)
        return self.bytes_read - before

    def wait_for(self, *texts: str, timeout_s: float = 20.0) -> float:
        """Seconds from now until all the texts came by as written, in one piece each.

        Raises `TimeoutError` with the screen.
        """
        began, wanted, tail = time.monotonic(), {text.encode() for text in texts}, b""
        while wanted:
            left = began + timeout_s - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{texts} did not come; on screen:\n{self.picture()}")
            tail = tail[-200:] + self.read(left)
            wanted = {text for text in wanted if text not in tail}
        return time.monotonic() - began

    def until(self, holds: Callable[[str], bool], timeout_s: float = 20.0) -> None:
        """Read until the picture is as wished. Raises `TimeoutError` with the screen."""
        end = time.monotonic() + timeout_s
        while not holds(self.picture()):
            if time.monotonic() > end:
                raise TimeoutError(f"it did not come; on screen:\n{self.picture()}")
            self.read(0.1)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def picture(self) -> str:
        """What stands on the screen now."""
        for piece in self._unfed:
            self._stream.feed(piece)
        self._unfed = []
        return "\n".join(self._screen.display)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._master)

"""What a command does when it is told to end: it removes what it has half made."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def tidy_ending() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit (128 and their number) in the body, as Ctrl-C raises.

    The first one counts; a signal that is ignored, as SIGHUP under nohup, stays so. For commands in
    the main thread that hold temporary folders.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    heard = [number for number in _ENDING if before[number] is not signal.SIG_IGN]

    def end(number: int, _frame: FrameType | None) -> None:
        for one in heard:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])

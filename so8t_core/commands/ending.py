"""What a command does when it is told to end: it removes what it has half made."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def tidy_ending() -> Iterator[None]:
    """SIGTERM and SIGHUP end the body by SystemExit (128 and their number), as Ctrl-C would.

    Whatever compiled code between makes of that exception, SystemExit is what comes out. Of the two
    the first one counts, and the same again; a session that ends sends both, and the second must
    not break the tidying off. One that is ignored, as SIGHUP under nohup, stays so. For the main
    thread.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    heard = [number for number in _ENDING if before[number] is not signal.SIG_IGN]
    told: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        if number in told or not told:
            told.append(number)
            raise SystemExit(128 + number)

    for one in heard:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in heard:
            signal.signal(one, before[one])
        if told:
            raise SystemExit(128 + told[0])

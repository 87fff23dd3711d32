"""Ending a process that hangs on one document, wherever it hangs."""

from __future__ import annotations

import faulthandler
import sys
import time

_SLACK_S = 1.0


class Watchdog:
    """Ends this process when a document takes longer than `seconds`.

    The clock runs outside of the interpreter, so that code which never comes back to it is ended as
    well; the functions that the process is in are written to its standard error then, no values.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._wound = float("-inf")

    def begin(self) -> None:
        """A document begins; a clock wound within the last second goes on, and runs longer."""
        now = time.monotonic()
        if now - self._wound >= _SLACK_S:
            self.rest()
            faulthandler.dump_traceback_later(
                self._seconds + _SLACK_S, exit=True, file=sys.__stderr__ or 2
            )
            self._wound = now

    def rest(self) -> None:
        """No document is at work."""
        faulthandler.cancel_dump_traceback_later()
        self._wound = float("-inf")

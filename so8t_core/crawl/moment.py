"""The time by which waits are kept: without the steps of the system's clock."""

from __future__ import annotations

import time

_BEGAN_AT = time.time() - time.monotonic()


def steady_now() -> float:
    """Seconds since the epoch, as they have gone by since this process began.

    Where the clock is set back, no host waits for a day; where it is set forward, none is asked
    too early. Time in which the machine sleeps may be left out, which makes waits longer.
    """
    return _BEGAN_AT + time.monotonic()

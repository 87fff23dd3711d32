"""How fast a phase went over time, from how far it was when."""

from __future__ import annotations

from bisect import bisect_right

from so8t_core.contract.series import Series

STRETCHES = 120
_SHORTEST_S = 1.0


def throughput(course: Series, stretches: int = STRETCHES) -> Series:
    """Progress a second over equal stretches of time; steps are Unix times.

    A stretch in which progress fell back (work was begun anew) counts as none.
    """
    times, done = course.steps, course.values
    if course.length < 2:
        return Series()
    first, last = times[0], times[-1]
    width = max(_SHORTEST_S, (last - first) / stretches)
    made: list[tuple[float, float]] = []
    before, edge = done[0], first + width
    while True:
        now = done[bisect_right(times, edge) - 1]
        made.append((edge, max(0.0, now - before) / width))
        before = now
        if edge >= last:
            break
        edge += width
    return Series((t for t, _ in made), (rate for _, rate in made))

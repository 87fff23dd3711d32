"""A persistent series of points: appending shares memory with older versions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

LIMIT = 8192


@dataclass(frozen=True)
class Series:
    """Points (step, value) in step order.

    Versions share their lists: a version sees the first `length` points of them, so appending to
    the newest version costs O(1), and older versions never change. At `LIMIT` points every second
    one is dropped, so memory is bounded; the newest point is always kept.
    """

    _steps: list[float] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    length: int = 0

    @property
    def steps(self) -> Sequence[float]:
        """The steps, ascending."""
        return self._steps[: self.length]

    @property
    def values(self) -> Sequence[float]:
        """The values at the steps."""
        return self._values[: self.length]

    @property
    def last(self) -> float | None:
        """The newest value; None where there is none."""
        return self._values[self.length - 1] if self.length else None

    def append(self, step: float, value: float) -> Series:
        """The series with one more point; a point at or before the end replaces what follows it."""
        base = self
        if self.length and step <= self._steps[self.length - 1]:
            base = self.until(step, inclusive=False)
        if base.length >= LIMIT:
            first = (base.length - 1) % 2
            base = Series(
                base._steps[first : base.length : 2],
                base._values[first : base.length : 2],
                (base.length - first + 1) // 2,
            )
        if base.length < len(base._steps):
            base = Series(base._steps[: base.length], base._values[: base.length], base.length)
        base._steps.append(step)
        base._values.append(value)
        return Series(base._steps, base._values, base.length + 1)

    def until(self, step: float, *, inclusive: bool = True) -> Series:
        """The series without the points after `step` (and at it, unless inclusive)."""
        end = bisect_right(self._steps, step, 0, self.length)
        if not inclusive:
            while end and self._steps[end - 1] == step:
                end -= 1
        return self if end == self.length else Series(self._steps, self._values, end)

"""A persistent series of points: appending shares memory with older versions."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable

LIMIT = 8192
LARGEST_STEP = 2**53
"""Above it, floats do not tell a step from the next."""


class Series:
    """Points (step, value) in step order, both as 64-bit floats.

    Versions share their arrays: a version sees the first `length` points of them, so appending to
    the newest version costs O(1), and older versions never change. At `LIMIT` points every second
    one is dropped, so memory is bounded; the newest point is always kept.
    """

    __slots__ = ("_steps", "_values", "length")

    def __init__(self, steps: Iterable[float] = (), values: Iterable[float] = ()) -> None:
        self._steps = array("d", steps)
        self._values = array("d", values)
        self.length = len(self._steps)
        if len(self._values) != self.length:
            raise ValueError("a series has as many values as steps")

    @classmethod
    def _version(cls, steps: array[float], values: array[float], length: int) -> Series:
        made = cls.__new__(cls)
        made._steps, made._values, made.length = steps, values, length
        return made

    @property
    def steps(self) -> array[float]:
        """The steps, ascending."""
        return self._steps[: self.length]

    @property
    def values(self) -> array[float]:
        """The values at the steps."""
        return self._values[: self.length]

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last step, nothing copied. Raises `IndexError` without points."""
        if not self.length:
            raise IndexError("a series without points has no ends")
        return self._steps[0], self._steps[self.length - 1]

    @property
    def last(self) -> float | None:
        """The newest value; None where there is none."""
        return self._values[self.length - 1] if self.length else None

    def append(self, step: float, value: float) -> Series:
        """The series with one more point; a point at or before the end replaces what follows it.

        Raises `ValueError` for a step that no chart has a place for, `OverflowError` for a value
        beyond a float.
        """
        if not abs(step) <= LARGEST_STEP:
            raise ValueError(f"{step} is no step")
        steps, values, length = self._steps, self._values, self.length
        if length and step <= steps[length - 1]:
            length = self.until(step, inclusive=False).length
        if length >= LIMIT:
            first = (length - 1) % 2
            steps, values = steps[first:length:2], values[first:length:2]
            length = len(steps)
        if length < len(steps):
            steps, values = steps[:length], values[:length]
        steps.append(step)
        values.append(value)
        return Series._version(steps, values, length + 1)

    def until(self, step: float, *, inclusive: bool = True) -> Series:
        """The series without the points after `step` (and at it, unless inclusive)."""
        end = bisect_right(self._steps, step, 0, self.length)
        if not inclusive:
            while end and self._steps[end - 1] == step:
                end -= 1
        return self if end == self.length else Series._version(self._steps, self._values, end)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Series):
            return NotImplemented
        if self.length != other.length:
            return False
        if self._steps is other._steps and self._values is other._values:
            return True
        return self.steps == other.steps and self.values == other.values

    __hash__ = None  # type: ignore[assignment]  # equal by points, which are too many to hash

    def __repr__(self) -> str:
        return f"Series({self.length} points, last {self.last})"

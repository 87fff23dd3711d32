"""Curves in braille: summed up by column, then drawn as dots.

A terminal cell holds 2 x 4 dots. Each dot column keeps the first, lowest, highest and last value of
its points, so no spike is lost, and a million points cost little more than a hundred.
(textual-plot 0.10 took 100 to 220 ms for four charts of 300 points; this takes a few.)
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from so8t_core.contract.series import Series

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
_LARGEST = sys.float_info.max
_NARROWEST = 1e-6
"""Of all steps, the smallest share that a view shows."""


@dataclass(frozen=True)
class View:
    """Which part of the steps is shown: shares of the whole, from 0 to 1."""

    start: float = 0.0
    end: float = 1.0

    @property
    def whole(self) -> bool:
        """Whether everything is shown."""
        return self.start <= 0 and self.end >= 1

    def zoomed(self, factor: float, around: float = 1.0) -> View:
        """A view `factor` times as wide; the place `around` (share of this view) stays."""
        width = min(1.0, max(_NARROWEST, (self.end - self.start) * factor))
        fixed = self.start + around * (self.end - self.start)
        return View(fixed - around * width, fixed + (1 - around) * width)._inside()

    def panned(self, by: float) -> View:
        """Moved by a share of its own width; it stops at the ends."""
        move = by * (self.end - self.start)
        return View(self.start + move, self.end + move)._inside()

    def _inside(self) -> View:
        width = self.end - self.start
        if self.start < 0:
            return View(0.0, width)
        return View(1.0 - width, 1.0) if self.end > 1 else self


@dataclass(frozen=True)
class Column:
    """The points of one dot column; `x` counts dots from the left."""

    x: int
    first: float
    low: float
    high: float
    last: float


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is shown; `bottom` and `top` as drawn (logarithms, if so)."""

    left: float
    right: float
    bottom: float
    top: float


def extent(curves: Sequence[Series], view: View) -> tuple[float, float] | None:
    """First and last step that the view shows; None where there are no points."""
    full = [series for series in curves if series.length]
    if not full:
        return None
    left = min(series.ends[0] for series in full)
    right = max(series.ends[1] for series in full)
    if left == right:
        return max(left - 1, min(left, 0)), right + 1  # there is no step before the first
    begin = left + view.start * (right - left)
    return begin, max(left + view.end * (right - left), math.nextafter(begin, math.inf))


def columns_of(
    series: Series, left: float, right: float, count: int, *, log: bool = False
) -> list[Column]:
    """The points between two steps by dot column, left to right; columns without points lack.

    With `log`, values are decimal logarithms and what is not above zero is left out, as are NaN
    and infinities.
    """
    steps, values = series.steps, series.values
    begin, end = bisect_left(steps, left), bisect_right(steps, right)
    width = (right - left) / max(1, count - 1)
    if end - begin <= 2 * count:
        placed = [round((step - left) / width) for step in steps[begin:end]]
        return _joined(zip(placed, values[begin:end], strict=True), log=log)
    columns = []
    for x in range(count):
        stop = bisect_right(steps, left + (x + 0.5) * width, begin, end)
        if stop > begin:
            column = _summed(x, values[begin:stop], log=log)
            if column is not None:
                columns.append(column)
        begin = stop
    return columns


def _joined(points: zip[tuple[int, float]], *, log: bool) -> list[Column]:
    columns: list[Column] = []
    for x, value in points:
        if not math.isfinite(value) or (log and value <= 0):
            continue
        y = math.log10(value) if log else value
        if columns and columns[-1].x == x:
            old = columns[-1]
            columns[-1] = Column(x, old.first, min(old.low, y), max(old.high, y), y)
        else:
            columns.append(Column(x, y, y, y, y))
    return columns


def _summed(x: int, values: array[float], *, log: bool) -> Column | None:
    low, high = min(values), max(values)
    sound = math.isfinite(low) and math.isfinite(high) and math.isfinite(values[-1])
    if not sound or not math.isfinite(values[0]) or (log and low <= 0):
        kept = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        if not kept:
            return None
        values, low, high = array("d", kept), min(kept), max(kept)
    column = Column(x, values[0], low, high, values[-1])
    if not log:
        return column
    return Column(x, *(math.log10(v) for v in (column.first, low, high, column.last)))


def frame_of(curves: Sequence[Sequence[Column]], left: float, right: float) -> Frame | None:
    """The frame that holds all columns; None without any."""
    columns = [column for curve in curves for column in curve]
    if not columns:
        return None
    bottom = min(column.low for column in columns)
    top = max(column.high for column in columns)
    if bottom == top:
        air = abs(top) * 0.1 or 1.0
        bottom, top = max(-_LARGEST, bottom - air), min(_LARGEST, top + air)
    return Frame(left, right, bottom, top)


def smoothed(series: Series, weight: float = 0.9) -> Series:
    """The exponential moving average, corrected for its beginning; NaN are passed over."""
    average, share = 0.0, 0.0
    values = series.values
    for place, value in enumerate(values):
        if math.isfinite(value):
            average = weight * average + (1 - weight) * value
            share = weight * share + (1 - weight)
        values[place] = average / share if share else math.nan
    return Series(series.steps, values)


class Raster:
    """A block of braille cells; each remembers which curve drew in it last."""

    def __init__(self, width: int, height: int, frame: Frame) -> None:
        self.width, self.height = width, height
        self._frame = frame
        self._cells = [[0] * width for _ in range(height)]
        self._owners = [[-1] * width for _ in range(height)]

    def _y(self, value: float) -> int:
        frame = self._frame
        span, below = frame.top - frame.bottom, frame.top - value
        if not math.isfinite(span):  # both ends near a float's limits
            span, below = frame.top / 2 - frame.bottom / 2, frame.top / 2 - value / 2
        return round(below / span * (self.height * 4 - 1))

    def draw(self, columns: Sequence[Column], owner: int) -> None:
        """Join the columns by lines, in the name of curve number `owner`."""
        before: tuple[int, int] | None = None
        for column in columns:
            first = self._y(column.first)
            if before is not None:
                self._line(before, (column.x, first), owner)
            self._upright(column.x, self._y(column.high), self._y(column.low), owner)
            before = column.x, self._y(column.last)

    def _upright(self, x: int, top: int, bottom: int, owner: int) -> None:
        if not 0 <= x < self.width * 2:
            return
        for y in range(max(0, top), min(self.height * 4 - 1, bottom) + 1):
            self._cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            self._owners[y // 4][x // 2] = owner

    def _line(self, start: tuple[int, int], end: tuple[int, int], owner: int) -> None:
        """A line as one upright piece for each dot column between the two."""
        (x0, y0), (x1, y1) = start, end
        across = max(1, x1 - x0)
        before = y0
        for i in range(1, across + 1):
            y = y0 + round((y1 - y0) * i / across)
            middle = (before + y) // 2
            self._upright(x0 + i - 1, min(before, middle), max(before, middle), owner)
            self._upright(x0 + i, min(middle, y), max(middle, y), owner)
            before = y

    def rows(self) -> list[list[tuple[str, int]]]:
        """Each row as runs of (text, curve number); -1 where nothing was drawn."""
        result = []
        for cells, owners in zip(self._cells, self._owners, strict=True):
            runs: list[tuple[str, int]] = []
            for bits, owner in zip(cells, owners, strict=True):
                character = chr(_BRAILLE + bits) if bits else " "
                if runs and runs[-1][1] == owner:
                    runs[-1] = (runs[-1][0] + character, owner)
                else:
                    runs.append((character, owner))
            result.append(runs)
        return result


def nearest(series: Series, step: float) -> tuple[float, float] | None:
    """The point whose step lies nearest; None without points."""
    if not series.length:
        return None
    steps = series.steps
    after = bisect_left(steps, step)
    if after >= series.length or (
        after and abs(steps[after - 1] - step) <= abs(steps[after] - step)
    ):
        after -= 1
    return steps[after], series.values[after]

"""Curves in braille: decimated to what the columns can show, then drawn as dots.

A terminal cell holds 2 x 4 dots. Decimation keeps the first, lowest, highest and last point of each
dot column, so no spike is lost and drawing costs the same for a hundred points and a million.
(textual-plot 0.10 took 100 to 220 ms for four charts of 300 points; this takes a few.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is shown."""

    left: float
    right: float
    bottom: float
    top: float


def finite(steps: Sequence[float], values: Sequence[float]) -> list[Point]:
    """The points without NaN and infinities."""
    return [(x, y) for x, y in zip(steps, values, strict=True) if math.isfinite(y)]


def frame_of(curves: Sequence[Sequence[Point]]) -> Frame | None:
    """The smallest frame with a little air around all points; None without any."""
    points = [point for curve in curves for point in curve]
    if not points:
        return None
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    bottom, top = min(y for _, y in points), max(y for _, y in points)
    if bottom == top:
        air = abs(top) * 0.1 or 1.0
        bottom, top = bottom - air, top + air
    if left == right:
        left, right = left - 1, right + 1
    return Frame(left, right, bottom, top)


def decimated(points: Sequence[Point], frame: Frame, columns: int) -> list[Point]:
    """At most four points a column, in order, that draw the same picture."""
    if len(points) <= columns:
        return list(points)
    scale = columns / (frame.right - frame.left)
    kept: list[Point] = []
    bucket: list[Point] = []
    current = -1
    for point in points:
        column = int((point[0] - frame.left) * scale)
        if column != current and bucket:
            kept.extend(_extremes(bucket))
            bucket = []
        current = column
        bucket.append(point)
    kept.extend(_extremes(bucket))
    return kept


def _extremes(bucket: list[Point]) -> list[Point]:
    if len(bucket) <= 4:
        return bucket
    low = min(range(len(bucket)), key=lambda i: bucket[i][1])
    high = max(range(len(bucket)), key=lambda i: bucket[i][1])
    return [bucket[i] for i in sorted({0, low, high, len(bucket) - 1})]


class Raster:
    """A block of braille cells; each remembers which curve drew in it last."""

    def __init__(self, width: int, height: int, frame: Frame) -> None:
        self.width, self.height = width, height
        self._frame = frame
        self._cells = [[0] * width for _ in range(height)]
        self._owners = [[-1] * width for _ in range(height)]

    def _dot(self, point: Point) -> tuple[int, int]:
        frame = self._frame
        x = (point[0] - frame.left) / (frame.right - frame.left) * (self.width * 2 - 1)
        y = (frame.top - point[1]) / (frame.top - frame.bottom) * (self.height * 4 - 1)
        return round(x), round(y)

    def _set(self, x: int, y: int, owner: int) -> None:
        if 0 <= x < self.width * 2 and 0 <= y < self.height * 4:
            self._cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            self._owners[y // 4][x // 2] = owner

    def draw(self, points: Sequence[Point], owner: int) -> None:
        """Join the points by lines, in the name of curve number `owner`."""
        before: tuple[int, int] | None = None
        for point in decimated(points, self._frame, self.width * 2):
            dot = self._dot(point)
            self._line(before or dot, dot, owner)
            before = dot

    def _line(self, start: tuple[int, int], end: tuple[int, int], owner: int) -> None:
        (x0, y0), (x1, y1) = start, end
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(steps + 1):
            self._set(x0 + round((x1 - x0) * i / steps), y0 + round((y1 - y0) * i / steps), owner)

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

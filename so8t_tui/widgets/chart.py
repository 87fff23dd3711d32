"""A chart of up to three curves over the same steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

from so8t_core.contract.series import Series
from so8t_tui.curve import Frame, Point, Raster, finite, frame_of
from so8t_tui.text import right
from so8t_tui.widgets.card import Card

_STYLES = ("$curve-1", "$curve-2", "$curve-3")
_SMALLEST = (12, 3)


@dataclass(frozen=True)
class Curve:
    """A named series. Two are equal when they have the same points so far."""

    name: str
    series: Series


def tick(value: float) -> str:
    """A number short enough for an axis."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


class Chart(Card[tuple[Curve, ...]]):
    """Curves with their newest values in the title, the range on the left, the steps below.

    With `over_time` the steps are Unix times.
    """

    def __init__(
        self, title: str, empty: str = "", *, over_time: bool = False, id_: str | None = None
    ) -> None:
        super().__init__(title, empty, id_=id_)
        self._title = title
        self._ends = _clock if over_time else _whole

    def put(self, value: tuple[Curve, ...]) -> None:
        """Show the curves that have points."""
        shown = tuple(curve for curve in value if curve.series.length)
        if shown != self._value:
            self.border_title = self._headline(shown)
        super().put(shown)

    def _headline(self, curves: tuple[Curve, ...]) -> Content:
        parts: list[str | tuple[str, str]] = [self._title]
        for number, curve in enumerate(curves):
            label = f" {curve.name}" if len(curves) > 1 else ""
            last = curve.series.last
            parts.append((f" {label} {tick(last)}" if last is not None else "", _STYLES[number]))
        return Content.assemble(*parts)

    def draw(self, value: tuple[Curve, ...], width: int, height: int) -> Sequence[Content]:
        curves = [finite(curve.series.steps, curve.series.values) for curve in value]
        frame = frame_of(curves)
        if frame is None or width < _SMALLEST[0] or height < _SMALLEST[1]:
            return []
        labels = _labels(frame, height - 1)
        gutter = max(cell_len(label) for label in labels)
        raster = Raster(width - gutter - 1, height - 1, frame)
        for owner in reversed(range(len(curves))):
            raster.draw(curves[owner], owner)
        lines = [
            Content.assemble(
                (right(label, gutter), "$faint"),
                ("▕", "$line"),
                *((text, _STYLES[owner] if owner >= 0 else "") for text, owner in runs),
            )
            for label, runs in zip(labels, raster.rows(), strict=True)
        ]
        return [*lines, _axis(curves, gutter + 1, width, self._ends)]


def _labels(frame: Frame, rows: int) -> list[str]:
    """Top, middle and bottom of the range, each at its row."""
    labels = [""] * rows
    labels[0], labels[-1] = tick(frame.top), tick(frame.bottom)
    if rows >= 5 and rows % 2:
        labels[rows // 2] = tick((frame.top + frame.bottom) / 2)
    return labels


def _whole(step: float) -> str:
    return f"{step:,.0f}"


def _clock(step: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(step))


def _axis(
    curves: Sequence[Sequence[Point]], indent: int, width: int, ends: Callable[[float], str]
) -> Content:
    first = min(curve[0][0] for curve in curves if curve)
    last = max(curve[-1][0] for curve in curves if curve)
    left, end = ends(first), ends(last)
    gap = width - indent - len(left) - len(end)
    text = left + " " * gap + end if gap > 0 else right(end, width - indent)
    return Content.styled(" " * indent + text, "$faint")

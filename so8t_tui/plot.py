"""A picture of curves in text: range at the left, steps below, and what the cursor stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from textual.content import Content

from so8t_core.contract.series import Series
from so8t_tui.amounts import as_float, clock_time
from so8t_tui.curve import Column, Frame, Raster, View, columns_of, extent, frame_of, nearest
from so8t_tui.text import right

SMALLEST = (12, 3)
STYLES = ("$curve-1", "$curve-2", "$curve-3", "$curve-4", "$curve-5")
_CURSOR = "│"
_USUAL_GUTTER = 5
_LARGEST_POWER = 308.0
"""Of ten, as a float."""


@dataclass(frozen=True)
class Curve:
    """A named series. Two are equal when they have the same points so far.

    A `faint` curve lies behind the others and has no entry of its own in the title.
    """

    name: str
    series: Series
    faint: bool = False


@dataclass(frozen=True)
class Manner:
    """How curves are drawn: which part, on which scale, with the cursor where (share of the view).

    With `over_time` the steps are Unix times.
    """

    view: View = field(default_factory=View)
    log: bool = False
    cursor: float | None = None
    over_time: bool = False


def tick(value: float) -> str:
    """A number short enough for an axis."""
    value = as_float(value)
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def styles_of(curves: Sequence[Curve]) -> list[str]:
    """A style for each curve: faint ones share theirs, the others count through the palette."""
    styles, used = [], 0
    for curve in curves:
        if curve.faint:
            styles.append("$curve-faint")
        else:
            styles.append(STYLES[used % len(STYLES)])
            used += 1
    return styles


def picture(curves: Sequence[Curve], width: int, height: int, manner: Manner) -> list[Content]:
    """`height` lines of at most `width` cells; none where there is no room or nothing to draw."""
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return []
    ends = extent([curve.series for curve in curves], manner.view)
    if ends is None:
        return []
    room = max(1, width - _USUAL_GUTTER - 1)
    columns = [columns_of(c.series, *ends, room * 2, log=manner.log) for c in curves]
    frame = frame_of(columns, *ends)
    if frame is None:
        return []
    labels = _labels(frame, height - 1, log=manner.log)
    gutter = max(cell_len(label) for label in labels)
    if gutter != _USUAL_GUTTER:
        room = max(1, width - gutter - 1)
        columns = [columns_of(c.series, *ends, room * 2, log=manner.log) for c in curves]
    lines = _drawn(columns, styles_of(curves), frame, (room, height - 1), labels, manner.cursor)
    return [*lines, _footline(curves, frame, gutter + 1, width, manner)]


def _drawn(
    columns: Sequence[Sequence[Column]],
    styles: Sequence[str],
    frame: Frame,
    size: tuple[int, int],
    labels: Sequence[str],
    cursor: float | None,
) -> list[Content]:
    raster = Raster(*size, frame)
    faint_first = sorted(range(len(columns)), key=lambda n: (styles[n] != "$curve-faint", -n))
    for owner in faint_first:
        raster.draw(columns[owner], owner)
    gutter = max(cell_len(label) for label in labels)
    mark = None if cursor is None else round(cursor * (size[0] - 1))
    return [
        Content.assemble(
            (right(label, gutter), "$faint"),
            ("▕", "$line"),
            *_marked([(text, styles[owner] if owner >= 0 else "") for text, owner in runs], mark),
        )
        for label, runs in zip(labels, raster.rows(), strict=True)
    ]


def _marked(runs: list[tuple[str, str]], mark: int | None) -> list[tuple[str, str]]:
    """The runs of a row, with the cursor's line where nothing is drawn."""
    if mark is None:
        return runs
    marked: list[tuple[str, str]] = []
    at = 0
    for text, style in runs:
        place = mark - at
        if 0 <= place < len(text) and text[place] == " ":
            pieces = [(text[:place], style), (_CURSOR, "$brand"), (text[place + 1 :], style)]
            marked += [piece for piece in pieces if piece[0]]
        elif 0 <= place < len(text):
            bold = f"bold {style}".strip()
            pieces = [(text[:place], style), (text[place], bold), (text[place + 1 :], style)]
            marked += [piece for piece in pieces if piece[0]]
        else:
            marked.append((text, style))
        at += len(text)
    return marked


def _labels(frame: Frame, rows: int, *, log: bool) -> list[str]:
    """Top, middle and bottom of the range, each at its row."""

    def told(value: float) -> str:
        return tick(10.0 ** min(value, _LARGEST_POWER) if log else value)

    labels = [""] * rows
    labels[0], labels[-1] = told(frame.top), told(frame.bottom)
    if rows >= 5 and rows % 2:
        labels[rows // 2] = told((frame.top + frame.bottom) / 2)
    return labels


def step_label(step: float, *, over_time: bool) -> str:
    """A step as the axis shows it."""
    if over_time:
        return clock_time(step)
    return f"{step:,.0f}"


def readings(curves: Sequence[Curve], frame: Frame, cursor: float) -> tuple[float, list[str]]:
    """The step under the cursor, and each curve's name and value nearest to it."""
    step = frame.left + cursor * (frame.right - frame.left)
    told = []
    shown = [curve for curve in curves if not curve.faint] or list(curves)
    for curve in shown:
        point = nearest(curve.series, step)
        if point is not None:
            told.append(f"{curve.name} {tick(point[1])}")
    points = [p for curve in shown if (p := nearest(curve.series, step)) is not None]
    if points:
        step = min((p[0] for p in points), key=lambda found: abs(found - step))
    return step, told


def _footline(
    curves: Sequence[Curve], frame: Frame, indent: int, width: int, manner: Manner
) -> Content:
    """The first and the last step, or what the cursor stands on."""

    def label(step: float) -> str:
        return step_label(step, over_time=manner.over_time)

    if manner.cursor is not None:
        step, told = readings(curves, frame, manner.cursor)
        text = f"{label(step)}  {'  '.join(told)}"
        return Content.styled(" " * indent + text, "$ink").truncate(width, ellipsis=True)
    left, end = label(frame.left), label(frame.right)
    gap = width - indent - len(left) - len(end)
    text = left + " " * gap + end if gap > 0 else right(end, width - indent)
    return Content.styled(" " * indent + text, "$faint")

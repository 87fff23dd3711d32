"""A map of numbers over time: one row a series, one column a stretch of steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.color import Color
from textual.content import Content

from so8t_core.contract.series import Series
from so8t_tui.plot import tick
from so8t_tui.text import right
from so8t_tui.widgets.card import Card

_SHADES = 24
_GLYPHS = " ·░▒▓█"
"""Darker means more where colours are stripped."""


@dataclass(frozen=True)
class HeatRow:
    """A label and its series."""

    label: str
    series: Series


class HeatMap(Card[tuple[HeatRow, ...]]):
    """Values from the smallest to the largest as shades, with both named below.

    Where there are more series than lines, neighbours share a line by their mean; where there are
    fewer, each takes several.
    """

    def draw(self, value: tuple[HeatRow, ...], width: int, height: int) -> Sequence[Content]:
        rows = [row for row in value if row.series.length]
        lines = height - 1
        if not rows or lines < 1:
            return []
        gathered = _gathered(rows, lines)
        gutter = max(cell_len(label) for label, _ in gathered)
        room = width - gutter - 1
        if room < 4:
            return []
        first = min(row.series.ends[0] for row in rows)
        last = max(row.series.ends[1] for row in rows)
        table = [
            _mean([_sampled(series, first, last, room) for series in members])
            for _, members in gathered
        ]
        known = [number for row in table for number in row if number is not None]
        if not known:
            return []
        low, high = min(known), max(known)
        ramp = self._ramp()
        each = lines // len(gathered)
        drawn = [
            Content.assemble(
                (right(label if line == 0 else "", gutter), "$faint"),
                " ",
                *_cells(row, low, high, ramp),
            )
            for (label, _), row in zip(gathered, table, strict=True)
            for line in range(each)
        ]
        return [*drawn, _legend(gutter, low, high, first, last, ramp, width)]

    def _ramp(self) -> list[str]:
        """Colours from low to high through the theme's three."""
        names = ("heat-low", "heat-middle", "heat-high")
        low, middle, high = (Color.parse(self.app.theme_variables[name]) for name in names)
        half = _SHADES // 2
        lower = [low.blend(middle, n / half).hex for n in range(half)]
        return lower + [middle.blend(high, (n + 1) / half).hex for n in range(half)]


def _gathered(rows: Sequence[HeatRow], lines: int) -> list[tuple[str, list[Series]]]:
    share = -(-len(rows) // lines)
    gathered = []
    for start in range(0, len(rows), share):
        members = rows[start : start + share]
        label = members[0].label
        if len(members) > 1:
            label = f"{label}-{members[-1].label}"
        gathered.append((label, [row.series for row in members]))
    return gathered


def _sampled(series: Series, first: float, last: float, count: int) -> list[float | None]:
    """The newest value at the end of each of `count` stretches; None before the first point."""
    steps, values = series.steps, series.values
    found: list[float | None] = []
    for n in range(count):
        edge = first + (last - first) * (n + 1) / count
        place = bisect_right(steps, edge)
        found.append(values[place - 1] if place else None)
    return found


def _mean(rows: Sequence[Sequence[float | None]]) -> list[float | None]:
    columns = zip(*rows, strict=True)
    means: list[float | None] = []
    for column in columns:
        known = [n for n in column if n is not None and math.isfinite(n)]
        means.append(sum(known) / len(known) if known else None)
    return means


def _cells(
    row: Sequence[float | None], low: float, high: float, ramp: Sequence[str]
) -> list[tuple[str, str]]:
    """Runs of equal shades; a glyph says the same as the colour."""
    runs: list[tuple[str, str]] = []
    for number in row:
        if number is None:
            glyph, style = " ", ""
        else:
            share = (number - low) / (high - low) if high > low else 0.0
            shade = min(_SHADES - 1, int(share * _SHADES))
            glyph = _GLYPHS[min(len(_GLYPHS) - 1, int(share * len(_GLYPHS)))]
            style = f"{ramp[min(_SHADES - 1, shade + 3)]} on {ramp[shade]}"
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + glyph, style)
        else:
            runs.append((glyph, style))
    return runs


def _legend(
    gutter: int, low: float, high: float, first: float, last: float, ramp: Sequence[str], width: int
) -> Content:
    shades = [("█", ramp[n]) for n in range(0, _SHADES, 3)]
    steps = f"{first:,.0f} … {last:,.0f}"
    left = Content.assemble(
        (" " * (gutter + 1) + tick(low) + " ", "$faint"), *shades, (f" {tick(high)}", "$faint")
    )
    gap = width - left.cell_length - len(steps)
    return left + Content.styled(" " * gap + steps, "$faint") if gap > 1 else left

"""A small table without a cursor: aligned columns, the last one takes the rest of the width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

from so8t_tui.text import fitted, right
from so8t_tui.widgets.card import Card

_GAP = 2


@dataclass(frozen=True)
class Cell:
    """One field of a row."""

    text: str
    style: str = "$ink"
    flush_right: bool = False


Row = tuple[Cell, ...]


class Rows(Card[tuple[Row, ...]]):
    """Rows of cells. With `newest_last` the end is shown where not all rows fit."""

    def __init__(
        self, title: str, empty: str = "", *, newest_last: bool = False, id_: str | None = None
    ) -> None:
        super().__init__(title, empty, id_=id_)
        self._newest_last = newest_last

    def draw(self, value: tuple[Row, ...], width: int, height: int) -> Sequence[Content]:
        shown = value[-height:] if self._newest_last else value[:height]
        columns = max(len(row) for row in shown)
        widths = [
            max((cell_len(row[i].text) for row in shown if i < len(row)), default=0)
            for i in range(columns)
        ]
        while widths and not widths[-1]:
            widths.pop()  # an empty last column would only be cut
        used = sum(widths[:-1]) + _GAP * (len(widths) - 1)
        if widths:
            widths[-1] = max(0, min(widths[-1], width - used))
        return [_drawn(row, widths) for row in shown]


def _drawn(row: Row, widths: Sequence[int]) -> Content:
    parts: list[Content] = []
    for cell, width in zip(row, widths, strict=False):
        text = right(cell.text, width) if cell.flush_right else fitted(cell.text, width)
        parts.append(Content.styled(text, cell.style))
    return Content(" " * _GAP).join(parts)

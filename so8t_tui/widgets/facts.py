"""Names and values in two aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

from so8t_tui.text import fitted
from so8t_tui.widgets.card import Card

_LABEL_SHARE = 0.55
_GAP = 2
_INDENT = "  "


@dataclass(frozen=True)
class Fact:
    """One line: a label, its value, and the value's style; without a value it is a heading."""

    label: str
    value: str
    style: str = "$ink"


def under(heading: str, facts: Sequence[Fact]) -> list[Fact]:
    """A group's facts below a line with its name; a single one is told in one line."""
    if len(facts) == 1:
        only = facts[0]
        return [Fact(f"{heading} · {only.label}", only.value, only.style)]
    named = [Fact(heading, "")] if facts else []
    return named + [Fact(f"{_INDENT}{fact.label}", fact.value, fact.style) for fact in facts]


class Facts(Card[tuple[Fact, ...]]):
    """A list of facts; in a wide block it flows into several columns."""

    def draw(self, value: tuple[Fact, ...], width: int, height: int) -> Sequence[Content]:
        label_width = max((cell_len(fact.label) for fact in value if fact.value), default=1)
        value_width = max(cell_len(fact.value) for fact in value)
        one = min(width, label_width + _GAP + value_width)
        columns = 1
        while len(value) > columns * height and (columns + 1) * (one + _GAP * 2) <= width:
            columns += 1
        column_width = (width - (columns - 1) * _GAP * 2) // columns
        least = max(1, int(column_width * _LABEL_SHARE))
        label_width = min(label_width, max(least, column_width - _GAP - value_width))
        rows = -(-len(value) // columns)
        lines = []
        for row in range(rows):
            parts = [
                _line(fact, label_width, column_width).truncate(column_width, pad=True)
                for fact in value[row::rows]
            ]
            lines.append(Content(" " * _GAP * 2).join(parts))
        if rows > height > 0:
            hidden = len(value) - (height - 1) * columns
            return [*lines[: height - 1], Content.styled(f"+ {hidden}", "$faint")]
        return lines


def _line(fact: Fact, label_width: int, width: int) -> Content:
    if not fact.value:
        return Content.styled(fitted(fact.label, width), "bold $soft")
    room = max(1, width - label_width - _GAP)
    shown = fitted(fact.value, room) if cell_len(fact.value) > room else fact.value
    return Content.assemble(
        (fitted(fact.label, label_width), "$soft"), " " * _GAP, (shown, fact.style)
    )

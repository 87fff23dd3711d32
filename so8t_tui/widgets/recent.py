"""The newest things that a phase showed, newest first."""

from __future__ import annotations

from so8t_core.contract.state import Item
from so8t_tui.amounts import clock_time, number
from so8t_tui.text import outside
from so8t_tui.widgets.rows import Cell, Row

_TEXT_LIMIT = 400
_FIELD_LIMIT = 60
_FIELDS_SHOWN = 3


def recent_rows(items: tuple[Item, ...], kind: str | None = None) -> tuple[Row, ...]:
    """A row for each item of a kind (None: all): time, text, a few fields."""
    chosen = [item for item in reversed(items) if kind is None or item.kind == kind]
    return tuple(_row(item) for item in chosen)


def _row(item: Item) -> Row:
    clock = clock_time(item.ts)
    fields = [
        number(value) if isinstance(value, int | float) else outside(value, _FIELD_LIMIT)
        for value in list(item.fields.values())[:_FIELDS_SHOWN]
        if isinstance(value, int | float | str)
    ]
    text = outside(item.text, _TEXT_LIMIT)
    return Cell(clock, "$faint"), Cell("  ".join([text, *fields]))

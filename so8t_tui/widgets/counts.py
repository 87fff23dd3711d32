"""Counts by name as horizontal bars, the largest first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from textual.content import Content

from so8t_tui.amounts import as_float, number
from so8t_tui.locale import Words
from so8t_tui.text import fitted, outside, right
from so8t_tui.widgets.card import Card

_NAME_SHARE = 0.65


def bar(share: float, width: int) -> str:
    """A bar of `share` (0 to 1) of `width` cells, drawn in halves of a cell."""
    known = share if math.isfinite(share) else 0.0
    full, half = divmod(round(max(0.0, min(1.0, known)) * width * 2), 2)
    return "━" * full + "╸" * half


def counts_of(value: object, words: Words) -> tuple[tuple[str, float], ...]:
    """The counts in a JSON object, largest first; anything that is no number is left out.

    Names are in the interface's language where it has a word for them.
    """
    if not isinstance(value, Mapping):
        return ()
    pairs = [
        (words(outside(name, 60).replace("_", " ")), as_float(count))
        for name, count in value.items()
        if isinstance(count, int | float) and not isinstance(count, bool)
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


class Counts(Card[tuple[tuple[str, float], ...]]):
    """Bars with names and numbers; what does not fit is summed up in the last line."""

    def draw(
        self, value: tuple[tuple[str, float], ...], width: int, height: int
    ) -> Sequence[Content]:
        shown = value if len(value) <= height else value[: max(0, height - 1)]
        hidden = value[len(shown) :]
        if hidden:
            rest = (f"+ {len(hidden)}", sum(count for _, count in hidden))
        names = max((cell_len(name) for name, _ in shown), default=1)
        name_width = min(names, max(4, int(width * _NAME_SHARE)))
        number_width = max((len(number(count)) for _, count in shown), default=1)
        bar_width = max(0, width - name_width - number_width - 2)
        top = max((count for _, count in value), default=1.0) or 1.0
        lines = [
            Content.assemble(
                (fitted(name, name_width), "$soft"),
                (" " + right(number(count), number_width) + " ", "$ink"),
                (bar(count / top, bar_width), "$curve-1"),
            )
            for name, count in shown
        ]
        if hidden:
            lines.append(
                Content.styled(
                    f"{fitted(rest[0], name_width)} {right(number(rest[1]), number_width)}",
                    "$faint",
                )
            )
        return lines

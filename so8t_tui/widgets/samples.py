"""What the model in training answers: newest first, each under its question, lines wrapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from textual.content import Content

from so8t_core.contract.state import Item
from so8t_tui.amounts import number
from so8t_tui.locale import Words
from so8t_tui.text import outside
from so8t_tui.widgets.card import Card

_ARROW = " → "
"""Stands between question and answer in an item's text."""
_TEXT_LIMIT = 600
_ANSWER_LINES = 4


class Samples(Card[tuple[Item, ...]]):
    """A line for the step and the question, up to four for the answer."""

    def __init__(self, words: Words, *, id_: str | None = None) -> None:
        super().__init__(words("Samples"), words("Answers appear here."), id_=id_)
        self._words = words

    def put_newest(self, items: tuple[Item, ...]) -> None:
        """Show a phase's items that are samples; they come oldest first."""
        self.put(tuple(item for item in reversed(items) if item.kind == "sample"))

    def draw(self, value: tuple[Item, ...], width: int, height: int) -> Sequence[Content]:
        lines = (line for item in value for line in self._lines(item, width))
        return list(islice(lines, height))

    def _lines(self, item: Item, width: int) -> Iterator[Content]:
        question, arrow, answer = outside(item.text, _TEXT_LIMIT).partition(_ARROW)
        step = item.fields.get("step")
        told = f"{self._words('step')} {number(step)}  " if isinstance(step, int) else ""
        yield Content.assemble((told, "$faint"), (question, "$soft")).truncate(width, ellipsis=True)
        if not arrow:
            return
        mark = "→ "
        wrapped = Content.styled(answer, "$ink").wrap(max(2, width - len(mark)))
        for place, line in enumerate(wrapped[:_ANSWER_LINES]):
            last = place == _ANSWER_LINES - 1 and len(wrapped) > _ANSWER_LINES
            start = Content.styled(mark if place == 0 else " " * len(mark), "$brand")
            yield start + line + (Content.styled("…", "$faint") if last else Content())

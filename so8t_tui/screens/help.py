"""The keys of the screen underneath, made from its bindings, and what the symbols mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from so8t_tui.locale import Words
from so8t_tui.screens.dialog import Dialog
from so8t_tui.standing import LOOKS
from so8t_tui.text import fitted

KeyLine = tuple[str, str]


class HelpDialog(Dialog[None]):
    """One line a key; closes on the key that opened it, on q and on Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,q", "cancel", "Close"),
        Binding("j", "scroll_by(1)", "Down", show=False),
        Binding("k", "scroll_by(-1)", "Up", show=False),
    ]

    def __init__(self, words: Words, keys: Mapping[str, str]) -> None:
        super().__init__(words)
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog tall") as box:
            box.border_title = Content(self.words("Keys"))
            yield Static(self._lines())

    def _lines(self) -> Content:
        words = self.words
        width = max(cell_len(key) for key in self._keys)
        lines = [
            Content.assemble((fitted(key, width), "bold $brand"), f"  {words(label)}")
            for key, label in self._keys.items()
        ]
        lines += [Content(), Content.styled(words("States"), "bold $soft")]
        lines += [
            Content.assemble((f"{look.glyph} {words(look.word)}", look.style))
            for look in LOOKS.values()
        ]
        return Content("\n").join(lines)

    def action_scroll_by(self, by: int) -> None:
        """Scroll by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

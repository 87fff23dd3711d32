"""Choosing one of several names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from so8t_tui.locale import Words
from so8t_tui.screens.dialog import Dialog


class ChooseDialog(Dialog[int]):
    """Answers with the place of the chosen name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor(1)", "Down", id="choose.down", show=False),
        Binding("k", "cursor(-1)", "Up", id="choose.up", show=False),
        Binding("q", "cancel", "Cancel", id="choose.close", show=False),
    ]

    def __init__(self, words: Words, title: str, names: Sequence[str], empty: str) -> None:
        super().__init__(words)
        self._title = title
        self._names = names
        self._empty = empty

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(self._title)
            if self._names:
                yield OptionList(*(Option(Content(name)) for name in self._names))
            else:
                yield Static(Content.styled(self._empty, "$soft"))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option_index)

    def action_cursor(self, by: int) -> None:
        """Move between the names."""
        for options in self.query(OptionList):
            if by > 0:
                options.action_cursor_down()
            else:
                options.action_cursor_up()

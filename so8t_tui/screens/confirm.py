"""A question that only a typed letter answers with yes, so that no Enter too many does harm."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from so8t_tui.locale import Words
from so8t_tui.screens.dialog import Dialog


class ConfirmDialog(Dialog[bool]):
    """Says what will happen; `y` does it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", "Do it", id="confirm.yes"),
        Binding("n", "cancel", "Cancel", id="confirm.no"),
    ]

    def __init__(self, words: Words, title: str, effects: tuple[str, ...], verb: str) -> None:
        super().__init__(words)
        self._title = title
        self._effects = effects
        self._verb = verb

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(self._title)
            yield Static(Content("\n").join(Content(line) for line in self._effects))
            yield Static(
                Content.assemble(
                    "\n",
                    ("y", "bold $bad"),
                    f" {self._verb}    ",
                    ("n", "bold $brand"),
                    f" {self.words('leave it')}",
                )
            )

    def action_confirm(self) -> None:
        """Yes."""
        self.dismiss(True)

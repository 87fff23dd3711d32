"""Leaving while an engine works: detach, pause and exit, or stay."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from so8t_tui.screens.dialog import Dialog

QuitAnswer = Literal["detach", "pause"]


class QuitDialog(Dialog[QuitAnswer]):
    """Detach comes first, so that a hasty Enter harms nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "answer('detach')", "Detach", id="quit.detach"),
        Binding("p", "answer('pause')", "Pause and exit", id="quit.pause"),
        Binding("c", "cancel", "Cancel", id="quit.cancel"),
        Binding("j", "cursor(1)", "Down", id="quit.down", show=False),
        Binding("k", "cursor(-1)", "Up", id="quit.up", show=False),
    ]

    def compose(self) -> ComposeResult:
        words = self.words
        with Vertical(classes="dialog") as box:
            box.border_title = Content(words("Leave this run?"))
            yield Static(Content(words("An engine is working on it.")))
            yield OptionList(
                Option(self._option("d", "Detach", "the engine goes on by itself"), id="detach"),
                Option(
                    self._option("p", "Pause and exit", "a checkpoint is written, memory freed"),
                    id="pause",
                ),
                Option(self._option("c", "Cancel", "stay here"), id="cancel"),
            )

    def _option(self, key: str, label: str, meaning: str) -> Content:
        words = self.words
        return Content.assemble(
            (f"{key}  ", "bold $brand"),
            (words(label), "bold"),
            "\n   ",
            (words(meaning), "$soft"),
        )

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        chosen = event.option.id
        self.dismiss("detach" if chosen == "detach" else "pause" if chosen == "pause" else None)

    def action_answer(self, answer: QuitAnswer) -> None:
        """Answer by letter."""
        self.dismiss(answer)

    def action_cursor(self, by: int) -> None:
        """Move between the answers."""
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

"""The base of small questions over a screen."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen

from so8t_tui.locale import Words

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """Escape answers nothing. `LEAVING` says in the frame what that does."""

    LEAVING: ClassVar = "Cancel"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel")
    ]

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.words = words

    def on_mount(self) -> None:
        """Say in every dialog's frame how to leave it."""
        for box in self.query(".dialog"):
            box.border_subtitle = Content(f"esc {self.words(self.LEAVING)}")

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Close, unless that has happened.

        A second key or click may have been on its way; it would close the screen below.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)

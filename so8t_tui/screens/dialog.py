"""The base of small questions over a screen."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from so8t_tui.locale import Words

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """Escape answers nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel")
    ]

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.words = words

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)

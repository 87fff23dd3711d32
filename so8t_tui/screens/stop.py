"""Stopping the engine asks for a letter, so that no Enter too many does it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from so8t_tui.screens.dialog import Dialog


class StopDialog(Dialog[bool]):
    """Only `y` stops."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "stop", "Stop"),
        Binding("n", "cancel", "Cancel"),
    ]

    def compose(self) -> ComposeResult:
        words = self.words
        with Vertical(classes="dialog") as box:
            box.border_title = Content(words("Stop the engine?"))
            yield Static(
                Content.assemble(
                    words("The present phase saves what it can and the engine ends."),
                    "\n",
                    words("The run can be resumed later."),
                    "\n\n",
                    ("y", "bold $bad"),
                    f" {words('stop')}    ",
                    ("n", "bold $brand"),
                    f" {words('go on')}",
                )
            )

    def action_stop(self) -> None:
        """Stop the engine."""
        self.dismiss(True)

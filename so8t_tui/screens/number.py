"""A live setting's new value, checked while it is typed."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from so8t_core.contract.errors import So8tError
from so8t_core.contract.live import LiveSetting
from so8t_tui.locale import Words
from so8t_tui.screens.dialog import Dialog
from so8t_tui.widgets.field import Field


class NumberDialog(Dialog[float]):
    """Enter takes the number when it is one that may be taken."""

    def __init__(self, words: Words, setting: LiveSetting, present: str) -> None:
        super().__init__(words)
        self._setting = setting
        self._present = present

    def compose(self) -> ComposeResult:
        setting = self._setting
        with Vertical(classes="dialog") as box:
            box.border_title = Content(setting.name)
            yield Static(Content(self.words(setting.effect)))
            yield Field(self._present, compact=True, id="number")
            yield Static(id="verdict")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        verdict = self.query_one("#verdict", Static)
        try:
            self._setting.read(event.value)
        except So8tError as error:
            verdict.update(Content.styled(f"✗ {error.what}", "$caution"))
        else:
            verdict.update(Content.styled(f"✓ {self.words('Enter takes it.')}", "$good"))

    @on(Input.Submitted)
    def _taken(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            self.dismiss(self._setting.read(event.value))
        except So8tError:
            return  # the verdict below the number says why

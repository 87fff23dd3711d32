"""Starting a run: which settings, what to change in them, checked while it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from so8t_core.contract.errors import So8tError
from so8t_tui.locale import Words
from so8t_tui.remarks import told
from so8t_tui.screens.dialog import Dialog
from so8t_tui.text import outside
from so8t_tui.widgets.field import Field

Wanted = tuple[Path, tuple[str, ...]]
_PAUSE_S = 0.25
_AT_ONCE_S = 0.001


class NewRunDialog(Dialog[Wanted]):
    """A file, and changes as `name=value` by spaces; Enter starts what has been found valid."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "Start", id="newrun.start"),
        Binding("down", "app.focus_next", "Next field", id="newrun.next", show=False),
        Binding("up", "app.focus_previous", "Field before", id="newrun.before", show=False),
    ]

    def __init__(self, words: Words, configs: Sequence[Path]) -> None:
        super().__init__(words)
        self._configs = configs
        self._round = 0
        self._starts = False

    def compose(self) -> ComposeResult:
        words = self.words
        with Vertical(classes="dialog wide") as box:
            box.border_title = Content(words("Start a run"))
            yield Static(Content.styled(words("Settings file"), "$soft"))
            yield Field(str(self._configs[0]) if self._configs else "", compact=True, id="file")
            yield OptionList(
                *(Option(Content(outside(path, 120))) for path in self._configs), id="known"
            )
            asked = words("Changes, such as train.max_steps=100")
            yield Static(Content.styled(asked, "$soft"), id="asked")
            yield Field(compact=True, id="changes")
            with VerticalScroll(id="verdict", can_focus=False):
                yield Static()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#known", OptionList).display = bool(self._configs)
        self.query_one("#file", Input).focus()
        self._check()

    @on(OptionList.OptionSelected, "#known")
    def _picked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one("#file", Input).value = str(self._configs[event.option_index])
        self.query_one("#changes", Input).focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._check()

    def _check(self, *, pause_s: float = _PAUSE_S, starts: bool = False) -> None:
        """Check soon, in a thread: a later keystroke makes an earlier check void.

        With `starts` the run is started if it is valid.
        """
        self._starts = starts
        self._round += 1
        self._say("…", "$faint")
        file = Path(self.query_one("#file", Input).value.strip()).expanduser()
        changes = tuple(self.query_one("#changes", Input).value.split())
        check = partial(self._validate, (file, changes), self._round)
        self.set_timer(
            pause_s,
            lambda: self.run_worker(check, thread=True, exclusive=True, group="check"),
        )

    def _validate(self, wanted: Wanted, number: int) -> None:
        if number != self._round:
            return
        from so8t_core.contract.config import load_settings

        worker = get_current_worker()
        try:
            settings = load_settings(*wanted)
        except So8tError as error:
            lines, valid = told(error, self.words), None
        else:
            lines = (self.words("Valid: {name}", name=outside(settings.name, 80)),)
            valid = wanted
        if not worker.is_cancelled:
            self.app.call_from_thread(self._judged, number, valid, lines)

    def _judged(self, number: int, valid: Wanted | None, lines: tuple[str, ...]) -> None:
        if number != self._round or not self.is_attached:
            return
        if valid is not None and self._starts:
            self.dismiss(valid)
        elif valid is None:
            self._say("✗ " + "\n".join(lines), "$caution")
        else:
            start = self.words("Enter or Ctrl+S starts it.")
            self._say(f"✓ {lines[0]}\n{start}", "$good")

    def _say(self, text: str, style: str) -> None:
        self.query_one("#verdict Static", Static).update(Content.styled(text, style))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_start()

    def action_start(self) -> None:
        """Start the run, if its settings are valid now: the file may have been edited."""
        self._check(pause_s=_AT_ONCE_S, starts=True)

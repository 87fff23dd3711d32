"""The control center: the application around its screens."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from so8t_core.contract.errors import So8tError
from so8t_core.contract.rundir import RunDir
from so8t_tui.client import RunClient
from so8t_tui.locale import Words, language_of
from so8t_tui.palette import DARK, FALLBACK_VARIABLES, THEMES
from so8t_tui.screens.help import HelpDialog
from so8t_tui.screens.host import Reason
from so8t_tui.screens.run import RunScreen
from so8t_tui.screens.runs import RunsScreen
from so8t_tui.text import outside

_ERROR_SHOWN_S = 12.0


@dataclass(frozen=True)
class Leaving:
    """How the interface was left, and which run it showed."""

    reason: Reason
    run: RunDir | None


class ControlCenter(App[Leaving]):
    """Watches and steers runs. It works on files alone: engines are started by `start_engine`.

    `start_engine` starts an engine process for a run and returns at once; `new_demo` makes a demo
    run. Both may raise `So8tError`. `terminal_notification` gives the sequence, bell included, with
    which this terminal tells of the end of a run, or an empty string; without it the bell rings.
    """

    TITLE = "SO8T"
    CSS_PATH = "so8t.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "keys", "Help"),
        Binding("L", "language", "日本語/English", show=False),
    ]

    def __init__(
        self,
        runs_dir: Path,
        run: RunDir | None = None,
        *,
        start_engine: Callable[[RunDir], None] | None = None,
        new_demo: Callable[[], RunDir] | None = None,
        terminal_notification: Callable[[str], str] | None = None,
        words: Words | None = None,
    ) -> None:
        super().__init__()
        self._runs_dir = runs_dir
        self._first_run = run
        self._start_engine = start_engine
        self._new_demo = new_demo
        self._terminal_notification = terminal_notification
        self._words = words or Words(language_of(os.environ))
        self._client: RunClient | None = None
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (78, "-normal"), (116, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name
        self.animation_level = "none"  # movement costs bytes over SSH and says nothing

    @property
    def words(self) -> Words:
        """The interface's language."""
        return self._words

    @property
    def offers_demo(self) -> bool:
        """Whether a new demo run can be made from here."""
        return self._new_demo is not None and self._start_engine is not None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Names that only our themes define, for all others."""
        return FALLBACK_VARIABLES

    def on_mount(self) -> None:
        if self._first_run is None:
            self.push_screen(RunsScreen(self, self._runs_dir))
        else:
            self._client = RunClient(self._first_run)
            self.push_screen(RunScreen(self, self._client))

    def on_unmount(self) -> None:
        self._close_client()

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def open_run(self, run: RunDir) -> None:
        """Show a run."""
        self._close_client()
        self._client = RunClient(run)
        self.switch_screen(RunScreen(self, self._client))

    def show_runs(self) -> None:
        """Show the list of runs."""
        self._close_client()
        self.switch_screen(RunsScreen(self, self._runs_dir))

    def new_demo(self) -> None:
        """Make a demo run, start its engine and show it."""
        if self._new_demo is None:
            return
        try:
            run = self._new_demo()
            self.open_run(run)
            if self._client is not None:
                self.launch(self._client)
        except So8tError as error:
            self.tell(error)

    def launch(self, client: RunClient) -> None:
        """Start an engine for the client's run. Raises `So8tError`."""
        if self._start_engine is None:
            self.notify(
                self.words("so8t resume {run}", run=outside(client.run.name)),
                title=self.words("This window cannot start engines. Use:"),
                markup=False,
            )
            return
        self._start_engine(client.run)
        client.engine_asked()

    def leave(self, reason: Reason) -> None:
        """End the interface."""
        self.exit(Leaving(reason, self._client.run if self._client is not None else None))

    def announce(self, message: str, *, failed: bool) -> None:
        """Show the message, and ring or notify as the terminal can and the settings wish."""
        self.notify(message, severity="error" if failed else "information", markup=False)
        if self._terminal_notification is None:
            self.bell()
        elif self._driver is not None:
            sequence = self._terminal_notification(message)
            if sequence:
                self._driver.write(sequence)
                self._driver.flush()

    def tell(self, error: So8tError) -> None:
        """Show an error's lines as a message."""
        self.notify(
            "\n".join(outside(line, 300) for line in error.lines()),
            severity="error",
            timeout=_ERROR_SHOWN_S,
            markup=False,
        )

    async def action_quit(self) -> None:
        """Leave by Ctrl+Q: the same question as `q`."""
        if isinstance(self.screen, RunScreen):
            self.screen.action_ask_quit()
        elif isinstance(self.screen, RunsScreen):
            self.leave("closed")

    def action_keys(self) -> None:
        """Show the keys that work here."""
        shown: dict[str, str] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.description and "." not in active.binding.action:
                shown[self.get_key_display(active.binding)] = active.binding.description
        self.push_screen(HelpDialog(self.words, shown))

    def action_language(self) -> None:
        """Switch the language and draw the screen anew."""
        self._words = self._words.other
        if isinstance(self.screen, RunScreen) and self._client is not None:
            self.switch_screen(RunScreen(self, self._client, self.screen.tab))
        elif isinstance(self.screen, RunsScreen):
            self.switch_screen(RunsScreen(self, self._runs_dir))

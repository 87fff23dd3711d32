"""The control center: the application around its screens."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.events import Event, Key

from so8t_core.contract.errors import SettingsError, So8tError
from so8t_core.contract.rundir import RunDir
from so8t_tui.client import RunClient
from so8t_tui.commands import Actions, Palette
from so8t_tui.hangup import survive_hangup
from so8t_tui.housekeeping import EVERY_S, calm_collector, tidy
from so8t_tui.locale import LANGUAGES, Words, language_of
from so8t_tui.outside import Outside
from so8t_tui.pace import Pace
from so8t_tui.palette import DARK, FALLBACK_VARIABLES, THEME_LABELS, THEMES
from so8t_tui.preferences import (
    Preferences,
    at_line,
    copied_file,
    keep_preferences,
    lines_of,
    preferences_file,
    read_preferences,
)
from so8t_tui.remarks import told
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
    """Watches and steers runs. It works on files alone; `outside` starts engines and makes runs.

    `words` and `preferences` replace what the environment and the user's file say. A `read_only`
    interface changes nothing of any run.
    """

    TITLE = "SO8T"
    CSS_PATH = "so8t.tcss"
    COMMANDS: ClassVar = {Actions}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "keys", "Help", id="app.help"),
        Binding("ctrl+p", "command_palette", "Commands", id="app.commands", show=False),
        Binding("L", "language", "日本語/English", id="app.language", show=False),
        Binding("T", "theme", "Next theme", id="app.theme", show=False),
    ]

    def __init__(
        self,
        runs_dir: Path,
        run: RunDir | None = None,
        *,
        outside: Outside | None = None,
        words: Words | None = None,
        preferences: Preferences | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__()
        self._runs_dir = runs_dir
        self._first_run = run
        self.outside = outside or Outside()
        self._problem: So8tError | None = None
        self._keeps = preferences is None
        self._preferences = self._read_preferences() if preferences is None else preferences
        self._words = words or self._preferred_words()
        self.read_only = read_only or self._preferences.read_only
        self._client: RunClient | None = None
        self.pace = Pace()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (78, "-normal"), (116, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]
        for theme in THEMES:
            self.register_theme(theme)
        known = self._preferences.theme in THEME_LABELS
        self.theme = self._preferences.theme if known else DARK.name
        self._use_keys()
        self.animation_level = "none"  # movement costs bytes over SSH and says nothing

    def _build_driver(
        self, headless: bool, inline: bool, mouse: bool, size: tuple[int, int] | None
    ) -> Driver:
        """Textual's driver, for a terminal that may be gone."""
        driver = super()._build_driver(headless, inline, mouse, size)
        loop = asyncio.get_running_loop()
        survive_hangup(driver, partial(loop.call_soon_threadsafe, self.leave, "closed"))
        return driver

    def _read_preferences(self) -> Preferences:
        try:
            return read_preferences(preferences_file(os.environ))
        except So8tError as error:
            self._problem, self._keeps = error, False
            return Preferences()

    def _use_keys(self) -> None:
        """Take the user's keys; those that cannot be taken are said, with their lines."""
        wanted = self._preferences.keys
        if not wanted:
            return
        from so8t_tui.remapping import remapping

        found = remapping(wanted)
        self.set_keymap(dict(found.keys))
        if found.wrong:
            file = preferences_file(os.environ)
            told = "; ".join(f"{outside(name, 60)} ({why})" for name, why in found.wrong.items())
            lines = lines_of(file, found.wrong)
            self._problem = SettingsError(
                f"These keys are not changed: {told}.",
                where=at_line(file, *lines),
                hint="docs/keymap.md has the names and how keys are called.",
            )

    def _preferred_words(self) -> Words:
        wanted = self._preferences.language
        for language in LANGUAGES:
            if wanted == language and "SO8T_LANG" not in os.environ:
                return Words(language)
        return Words(language_of(os.environ))

    @property
    def words(self) -> Words:
        """The interface's language."""
        return self._words

    @property
    def offers_demo(self) -> bool:
        """Whether a new demo run can be made from here."""
        return self._may_make and self.outside.new_demo is not None

    @property
    def offers_new_run(self) -> bool:
        """Whether a run can be made from settings here."""
        return self._may_make and self.outside.new_run is not None

    @property
    def _may_make(self) -> bool:
        return self.outside.start_engine is not None and not self.read_only

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Names that only our themes define, for all others."""
        return FALLBACK_VARIABLES

    def on_mount(self) -> None:
        if self._driver is not None:
            self._driver.write = self.pace.counted(self._driver.write)  # type: ignore[method-assign, assignment]
        if not self.is_headless:
            calm_collector()
            self.set_interval(EVERY_S, partial(tidy, self.pace))
            self._warn_of_encoding()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                # ended from outside, the terminal is given back all the same
                loop.add_signal_handler(number, self.leave, "closed")
        if self._problem is not None:
            self.tell(self._problem)
        if self._first_run is None:
            self.push_screen(RunsScreen(self, self._runs_dir))
        else:
            self._client = RunClient(self._first_run)
            self.push_screen(RunScreen(self, self._client))

    def _warn_of_encoding(self) -> None:
        """Say why lines and Japanese are question marks, where they are."""
        encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
        if codecs.lookup(encoding).name != "utf-8":
            self.notify(
                self.words("next: set LANG to a UTF-8 locale, such as C.UTF-8"),
                title=self.words("This terminal is written in {encoding}.", encoding=encoding),
                severity="warning",
                timeout=_ERROR_SHOWN_S,
                markup=False,
            )

    def on_unmount(self) -> None:
        self._close_client()

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def open_run(self, run: RunDir, *, resume: bool = False) -> None:
        """Show a run, and have it go on where `resume` says so."""
        self._close_client()
        self._client = RunClient(run)
        self.switch_screen(RunScreen(self, self._client, resume=resume))

    def compare(self, first: RunDir, second: RunDir) -> None:
        """Show two runs side by side."""
        from so8t_tui.screens.compare import CompareScreen

        self._close_client()
        self.switch_screen(CompareScreen(self, (first, second)))

    def show_runs(self) -> None:
        """Show the list of runs."""
        self._close_client()
        self.switch_screen(RunsScreen(self, self._runs_dir))

    def new_demo(self) -> None:
        """Make a demo run, start its engine and show it."""
        make = self.outside.new_demo
        if make is not None and self.offers_demo:
            self.run_worker(partial(self._make, make), thread=True, exit_on_error=False)

    def new_run(self, config: Path, overrides: tuple[str, ...]) -> None:
        """Make a run from settings, start its engine and show it."""
        make = self.outside.new_run
        if make is not None and self.offers_new_run:
            made = partial(make, config, overrides)
            self.run_worker(partial(self._make, made), thread=True, exit_on_error=False)

    def _make(self, make: Callable[[], RunDir]) -> None:
        """In a thread: settings take a while to load."""
        try:
            run = make()
        except So8tError as error:
            self.call_from_thread(self.tell, error)
            return
        self.call_from_thread(self._open_made, run)

    def _open_made(self, run: RunDir) -> None:
        self.open_run(run)
        if self._client is not None:
            try:
                self.launch(self._client)
            except So8tError as error:
                self.tell(error)

    def launch(self, client: RunClient) -> None:
        """Start an engine for the client's run. Raises `So8tError`."""
        if self.outside.start_engine is None:
            self.notify(
                self.words("so8t resume {run}", run=outside(client.run.name)),
                title=self.words("This window cannot start engines. Use:"),
                markup=False,
            )
            return
        self.outside.start_engine(client.run)
        client.engine_asked()

    def leave(self, reason: Reason) -> None:
        """End the interface."""
        self.exit(Leaving(reason, self._client.run if self._client is not None else None))

    def announce(self, run: RunDir, message: str, *, failed: bool) -> None:
        """Show the message, and ring or notify as the terminal can and the settings wish."""
        self.notify(message, severity="error" if failed else "information", markup=False)
        tell = self.outside.terminal_notification
        if tell is None:
            self.bell()
            return
        try:
            sequence = tell(run, message)
        except So8tError as error:
            self.tell(error)
            return
        if sequence and self._driver is not None:
            self._driver.write(sequence)
            self._driver.flush()

    def copy(self, text: str, told: str) -> None:
        """Copy through the terminal (OSC 52), and into a file for terminals that refuse that."""
        self.copy_to_clipboard(text)
        path = copied_file(os.environ)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError:
            hint = self.words("If your terminal refuses OSC 52, nothing was copied.")
        else:
            hint = self.words("Also in {path}", path=outside(path, 120))
        self.notify(hint, title=told, markup=False)

    def tell(self, error: So8tError) -> None:
        """Show an error's lines as a message."""
        self.notify(
            "\n".join(told(error, self.words)),
            severity="error",
            timeout=_ERROR_SHOWN_S,
            markup=False,
        )

    async def on_event(self, event: Event) -> None:
        """Note keys, so that reading waits until they are answered."""
        if isinstance(event, Key):
            self.pace.typed()
        await super().on_event(event)

    async def action_quit(self) -> None:
        """Leave by Ctrl+Q: the same question as `q`."""
        if isinstance(self.screen, RunScreen):
            self.screen.action_ask_quit()
        elif isinstance(self.screen, RunsScreen):
            self.leave("closed")

    def action_command_palette(self) -> None:
        """Every command by name."""
        if not any(isinstance(screen, Palette) for screen in self.screen_stack):
            self.push_screen(Palette(placeholder=self.words("Find a command")))

    def action_keys(self) -> None:
        """Show the keys that work here."""
        self.push_screen(HelpDialog(self.words, self.screen.active_bindings))

    @property
    def hint_due(self) -> bool:
        """Whether this user has not been greeted yet; asking counts as the greeting."""
        if self._preferences.hint_seen or not self._keeps:
            return False
        self._prefer(hint_seen=True)
        return True

    def _prefer(self, **changes: str | bool) -> None:
        """Change a preference, and keep it where there is a file of the user's own."""
        self._preferences = replace(self._preferences, **changes)  # type: ignore[arg-type]
        if self._keeps:
            try:
                keep_preferences(preferences_file(os.environ), changes)
            except So8tError as error:
                self._keeps = False
                self.tell(error)

    def theme_commands(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        """A command for each theme, for the palette."""
        for name, label in THEME_LABELS.items():
            text = self.words("Theme: {name}", name=self.words(label))
            yield text, "", partial(self._choose_theme, name)

    def _choose_theme(self, name: str) -> None:
        self.theme = name
        self._prefer(theme=name)
        self._redraw()

    def action_theme(self) -> None:
        """Take the next theme."""
        names = list(THEME_LABELS)
        self._choose_theme(names[(names.index(self.theme) + 1) % len(names)])
        self.notify(self.words(THEME_LABELS[self.theme]), markup=False)

    def action_language(self) -> None:
        """Switch the language."""
        self._words = self._words.other
        self._prefer(language=self._words.language)
        self._redraw()

    def _redraw(self) -> None:
        """Make the screen anew, with the present words and colours."""
        if isinstance(self.screen, RunScreen) and self._client is not None:
            self.switch_screen(RunScreen(self, self._client, self.screen.tab))
        elif isinstance(self.screen, RunsScreen):
            self.switch_screen(RunsScreen(self, self._runs_dir))

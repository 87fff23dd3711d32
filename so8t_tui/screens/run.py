"""One run: title, pipeline, tabs and keys; follows the journal and writes what is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Tab, Tabs

from so8t_core.contract.errors import So8tError
from so8t_core.contract.phases import PHASE_NAMES
from so8t_tui.client import RunClient
from so8t_tui.heading import heading_of
from so8t_tui.locale import Words
from so8t_tui.remarks import remark_on
from so8t_tui.screens.host import Host
from so8t_tui.screens.quit import QuitDialog
from so8t_tui.screens.stop import StopDialog
from so8t_tui.standing import going
from so8t_tui.text import outside
from so8t_tui.widgets.cleanse import Cleanse
from so8t_tui.widgets.crawl import Crawl
from so8t_tui.widgets.evaluate import Evaluate
from so8t_tui.widgets.keybar import KeyBar
from so8t_tui.widgets.log import Log
from so8t_tui.widgets.model import Model
from so8t_tui.widgets.notice import Notice
from so8t_tui.widgets.overview import Overview
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.pipeline import Pipeline, strip_of
from so8t_tui.widgets.report import Report
from so8t_tui.widgets.titlebar import TitleBar
from so8t_tui.widgets.train import Train

PAINT_EVERY_S = 0.25
CLOCK_EVERY_S = 1.0

TABS = ("Overview", "Crawl", "Cleanse", "Model", "Train", "Evaluate", "Report", "Log")


@dataclass(frozen=True)
class _Milestone:
    """What is painted at once when it changes, and what may be announced."""

    standing: str
    phases: tuple[str, ...]
    finished: bool


def _milestone(client: RunClient) -> _Milestone | None:
    if client.seen is None:
        return None
    state = client.seen.state
    return _Milestone(
        client.standing,
        tuple(state.phases[name].state for name in PHASE_NAMES),
        state.finished_at is not None,
    )


class RunScreen(Screen[None]):
    """Everything about one run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause"),
        Binding("space", "resume", "Resume"),
        Binding("r", "resume", "Resume", show=False),
        Binding("d", "detach", "Detach"),
        Binding("q", "ask_quit", "Quit"),
        Binding("escape", "runs", "Runs"),
        Binding("P", "pause_hard", "Pause hard"),
        Binding("s", "stop", "Stop"),
        Binding("o", "report_path", "Path", show=False),
        Binding("y", "copy", "Copy", show=False),
        *(Binding(str(n), f"tab({n})", name, show=False) for n, name in enumerate(TABS, start=1)),
        Binding("l,right_square_bracket", "next_tab(1)", "Next tab", show=False),
        Binding("h,left_square_bracket", "next_tab(-1)", "Previous tab", show=False),
        Binding("j", "scroll_by(1)", "Down", show=False),
        Binding("k", "scroll_by(-1)", "Up", show=False),
        Binding("g", "scroll_to_side(-1)", "Top", show=False),
        Binding("G", "scroll_to_side(1)", "Bottom", show=False),
    ]

    def __init__(self, host: Host, client: RunClient, tab: int = 1) -> None:
        super().__init__()
        self._host = host
        self._client = client
        self._first_tab = tab
        self._panels: dict[int, Panel] = {}
        self._milestone: _Milestone | None = None
        self._dirty = True
        self._painted_at = 0.0
        self._allowed: tuple[bool, ...] = ()

    @property
    def words(self) -> Words:
        """The interface's language."""
        return self._host.words

    @property
    def tab(self) -> int:
        """Number of the open tab, from 1."""
        active = self.query_one(Tabs).active
        return int(active.removeprefix("tab-")) if active else self._first_tab

    def compose(self) -> ComposeResult:
        words = self.words
        yield TitleBar(words, heading_of(self._client, words))
        yield Pipeline(words)
        yield Notice()
        yield Tabs(
            *(
                Tab(Content(f"{number} {words(name)}"), id=f"tab-{number}")
                for number, name in enumerate(TABS, start=1)
            ),
            active=f"tab-{self._first_tab}",
        )
        yield Container(id="body")
        yield KeyBar(words, extra=(("1-8", "Tabs"),))

    def on_mount(self) -> None:
        self._tick()

    # --- following -------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self.is_attached:
            return
        self._dirty = self._client.poll() or self._dirty
        milestone = _milestone(self._client)
        since = time.monotonic() - self._painted_at
        if self._client.behind:
            self._heading()
        elif milestone != self._milestone:
            self._announce(self._milestone, milestone)
            self._milestone = milestone
            self._paint()
        elif (self._dirty and since >= PAINT_EVERY_S) or (
            self._clock_runs() and since >= CLOCK_EVERY_S
        ):
            self._paint()
        self.set_timer(self._client.next_poll_s, self._tick)

    def _clock_runs(self) -> bool:
        seen = self._client.seen
        if seen is None:
            return False
        waiting = any(view.retry_at is not None for view in seen.state.phases.values())
        return going(seen) or (waiting and seen.liveness.alive) or self._client.starting

    def _paint(self) -> None:
        self._dirty = False
        self._painted_at = time.monotonic()
        seen, now = self._client.seen, time.time()
        self._heading()
        self.query_one(Notice).put(remark_on(self._client, self.words))
        if seen is not None:
            self.query_one(Pipeline).put(strip_of(seen, now, self.words))
            panel = self._panels.get(self.tab)
            if panel is not None and panel.is_mounted:
                panel.show(Scene(seen, now))
        allowed = (self._client.may_pause, self._client.may_resume, self._client.may_stop)
        if allowed != self._allowed:
            self._allowed = allowed
            self.refresh_bindings()

    def _heading(self) -> None:
        self.query_one(TitleBar).put(heading_of(self._client, self.words))

    def _announce(self, before: _Milestone | None, after: _Milestone | None) -> None:
        """A bell and a message when a run that is being watched comes to its end."""
        if before is None or after is None or before.finished or not after.finished:
            return
        name = outside(self._client.run.name, 80)
        seen = self._client.seen
        done = seen is not None and seen.state.state == "done"
        wording = "{run} is done." if done else "{run} has failed."
        self._host.announce(self.words(wording, run=name), failed=not done)

    # --- tabs ------------------------------------------------------------------------------

    @on(Tabs.TabActivated)
    async def _tab_activated(self, event: Tabs.TabActivated) -> None:
        event.stop()
        number = int(str(event.tab.id).removeprefix("tab-"))
        if number not in self._panels:
            self._panels[number] = self._make_panel(number)
            await self.query_one("#body").mount(self._panels[number])
        for other, panel in self._panels.items():
            panel.display = other == number
        target = self._panels[number].focus_target()
        if target is not None:
            target.focus()
        else:
            self.set_focus(None)
        self._paint()

    def _make_panel(self, number: int) -> Panel:
        kinds: tuple[type[Panel], ...] = (Overview, Crawl, Cleanse, Model, Train, Evaluate)
        if number <= len(kinds):
            return kinds[number - 1](self.words)
        if TABS[number - 1] == "Report":
            return Report(self.words, self._client.run)
        return Log(self.words)

    def action_tab(self, number: int) -> None:
        """Open a tab by number."""
        self.query_one(Tabs).active = f"tab-{number}"

    def action_next_tab(self, by: int) -> None:
        """Open the tab beside the present one."""
        self.action_tab((self.tab - 1 + by) % len(TABS) + 1)

    def _scrolled(self) -> Widget | None:
        panel = self._panels.get(self.tab)
        return panel.focus_target() if panel is not None else None

    def action_scroll_by(self, by: int) -> None:
        """Scroll the open tab by a line."""
        target = self._scrolled()
        if target is not None:
            target.scroll_relative(y=by, animate=False)

    def action_scroll_to_side(self, side: int) -> None:
        """Scroll the open tab to its beginning or end."""
        target = self._scrolled()
        if target is not None:
            target.scroll_to(y=0 if side < 0 else target.max_scroll_y, animate=False)

    # --- control ---------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in {"pause", "pause_hard"}:
            return self._client.may_pause
        if action == "resume":
            return self._client.may_resume
        if action == "stop":
            return self._client.may_stop
        return super().check_action(action, parameters)

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something to the run's files; what goes wrong becomes a message."""
        try:
            act()
        except So8tError as error:
            self._host.tell(error)
        self._dirty = True
        self._paint()

    def action_pause(self) -> None:
        """Ask for a soft pause: the process and its memory stay."""
        self._attempt(lambda: self._client.want("paused", "soft"))

    def action_pause_hard(self) -> None:
        """Ask for a hard pause: a checkpoint is written and memory is freed."""
        self._attempt(lambda: self._client.want("paused", "hard"))

    def action_resume(self) -> None:
        """Ask to go on; starts an engine where none lives."""
        self._attempt(self._resume)

    def _resume(self) -> None:
        self._client.want("running")
        seen = self._client.seen
        if seen is not None and not seen.liveness.alive:
            self._host.launch(self._client)

    def action_stop(self) -> None:
        """Ask, by a typed letter, whether the engine is to stop."""

        def answered(stop: bool | None) -> None:
            if stop:
                self._attempt(lambda: self._client.want("stopped"))

        self.app.push_screen(StopDialog(self.words), answered)

    def action_detach(self) -> None:
        """Leave; the engine keeps running."""
        self._host.leave("detached")

    def action_ask_quit(self) -> None:
        """Leave; where an engine works, ask whether it is to go on."""
        if not self._client.may_stop:
            self._host.leave("closed")
            return

        def answered(answer: str | None) -> None:
            if answer == "detach":
                self._host.leave("detached")
            elif answer == "pause":
                self._attempt(self._pause_and_leave)

        self.app.push_screen(QuitDialog(self.words), answered)

    def _pause_and_leave(self) -> None:
        self._client.want("paused", "hard")
        self._host.leave("paused")

    def action_runs(self) -> None:
        """Go to the list of runs."""
        self._host.show_runs()

    def action_report_path(self) -> None:
        """Say where the report is."""
        path = self._client.run.phase("report") / "report.md"
        self.notify(outside(path, 300), title=self.words("Report"), markup=False)

    def action_copy(self) -> None:
        """Copy the open tab's text through the terminal (OSC 52)."""
        panel = self._panels.get(self.tab)
        text = panel.copy_text() if panel is not None else ""
        self.app.copy_to_clipboard(text or str(self._client.run.root))
        self.notify(
            self.words("Copied the text.") if text else self.words("Copied the run's path."),
            markup=False,
        )

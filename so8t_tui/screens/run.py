"""One run: title, pipeline, tabs and keys; follows the journal and shows the open tab."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget

from so8t_core.contract.phases import PHASE_NAMES
from so8t_tui.client import RunClient
from so8t_tui.heading import heading_of
from so8t_tui.pace import ANSWER_S
from so8t_tui.remarks import remark_on
from so8t_tui.screens.host import HINT, Host
from so8t_tui.screens.steering import SteeringScreen
from so8t_tui.standing import going
from so8t_tui.tabs import TABS, make_panel
from so8t_tui.text import outside
from so8t_tui.widgets.keybar import KeyBar
from so8t_tui.widgets.notice import Notice
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.pipeline import Pipeline, strip_of
from so8t_tui.widgets.tabbar import TabBar
from so8t_tui.widgets.titlebar import TitleBar

CLOCK_EVERY_S = 1.0
_LONGEST_HELD_S = 0.5
"""A key that is held down keeps new events waiting no longer than this."""


@dataclass(frozen=True)
class _Milestone:
    """What is painted at once when it changes, and what may be announced."""

    standing: str
    phases: tuple[str, ...]
    finished: bool
    reached: int


def _milestone(client: RunClient) -> _Milestone | None:
    if client.seen is None:
        return None
    state = client.seen.state
    return _Milestone(
        client.standing,
        tuple(state.phases[name].state for name in PHASE_NAMES),
        state.finished_at is not None,
        len(state.milestones),
    )


class RunScreen(SteeringScreen):
    """Everything about one run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "runs", "Runs", id="run.list"),
        Binding("y", "copy", "Copy", id="run.copy", show=False),
        *(
            Binding(str(n), f"tab({n})", name, id=f"tab.{name.lower()}", show=False)
            for n, name in enumerate(TABS, start=1)
        ),
        Binding("l,right_square_bracket", "next_tab(1)", "Next tab", id="tab.next", show=False),
        Binding("h,left_square_bracket", "next_tab(-1)", "Previous tab", id="tab.back", show=False),
        Binding("j", "scroll_by(1)", "Down", id="run.down", show=False),
        Binding("k", "scroll_by(-1)", "Up", id="run.up", show=False),
        Binding("g", "scroll_to_side(-1)", "Top", id="run.top", show=False),
        Binding("G", "scroll_to_side(1)", "Bottom", id="run.bottom", show=False),
    ]

    def __init__(
        self, host: Host, client: RunClient, tab: int = 1, *, resume: bool = False
    ) -> None:
        super().__init__(host, client)
        self._resume_first = resume
        self._tab = tab
        self._panels: dict[int, Panel] = {}
        self._milestone: _Milestone | None = None
        self._dirty = True
        self._polled_at = 0.0
        self._allowed: tuple[bool, ...] = ()

    @property
    def tab(self) -> int:
        """Number of the open tab, from 1."""
        return self._tab

    def compose(self) -> ComposeResult:
        words = self.words
        yield TitleBar(words, heading_of(self._client, words))
        yield Pipeline(words)
        yield Notice()
        yield TabBar([words(name) for name in TABS], self._tab)
        yield Container(id="body")
        yield KeyBar(words, extra=((f"1-{len(TABS)}", "Tabs"),))

    async def on_mount(self) -> None:
        await self._open_tab(self._tab)
        self._tick()
        if self._host.hint_due:
            self.notify(self.words(HINT), title=self.words("Welcome"), timeout=12, markup=False)

    # --- following -------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self.is_attached:
            return
        now = time.monotonic()
        if self._host.pace.answering and now - self._polled_at < _LONGEST_HELD_S:
            self.set_timer(ANSWER_S, self._tick)
            return
        self._polled_at = now
        self._dirty = self._client.poll() or self._dirty
        milestone = _milestone(self._client)
        pace = self._host.pace
        if self._client.reading:
            self._heading()
        elif self._resume_first and self._client.seen is not None:
            self._resume_first = False
            if self.check_action("resume", ()):
                self.action_resume()
        elif milestone != self._milestone:
            self._announce(self._milestone, milestone)
            self._milestone = milestone
            self.repaint()
        elif (self._dirty and pace.ready) or (
            self._clock_runs() and pace.since_s >= CLOCK_EVERY_S and pace.ready
        ):
            self.repaint()
        self.set_timer(self._client.next_poll_s, self._tick)

    def _clock_runs(self) -> bool:
        seen = self._client.seen
        if seen is None:
            return False
        waiting = any(view.retry_at is not None for view in seen.state.phases.values())
        return going(seen) or (waiting and seen.liveness.alive) or self._client.starting

    def repaint(self) -> None:
        """Show the present state: heading, remark, strip and the open tab."""
        self._dirty = False
        self._host.pace.painted()
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
        heading = heading_of(self._client, self.words, read_only=self._host.read_only)
        self.query_one(TitleBar).put(heading)

    def _announce(self, before: _Milestone | None, after: _Milestone | None) -> None:
        """A bell and a message when a watched run ends, or reaches what its settings wait for."""
        seen = self._client.seen
        if before is None or after is None or seen is None:
            return
        name = outside(self._client.run.name, 80)
        for phase in seen.state.milestones[before.reached :]:
            text = self.words("{run}: {phase} is done.", run=name, phase=self.words(phase))
            self._host.announce(self._client.run, text, failed=False)
        if before.finished or not after.finished:
            return
        done = seen.state.state == "done"
        wording = "{run} is done." if done else "{run} has failed."
        self._host.announce(self._client.run, self.words(wording, run=name), failed=not done)

    # --- tabs ------------------------------------------------------------------------------

    @on(TabBar.Chosen)
    async def _tab_chosen(self, event: TabBar.Chosen) -> None:
        event.stop()
        await self._open_tab(event.number)

    async def _open_tab(self, number: int) -> None:
        """Show a tab's panel, made when it is wanted first."""
        self._tab = number
        self.query_one(TabBar).put(number)
        if number not in self._panels:
            self._panels[number] = make_panel(number, self.words, self._client.run)
            await self.query_one("#body").mount(self._panels[number])
        for other, panel in self._panels.items():
            panel.display = other == number
        target = self._panels[number].focus_target()
        if target is not None:
            target.focus()
        else:
            self.set_focus(None)
        self.repaint()

    async def action_tab(self, number: int) -> None:
        """Open a tab by number."""
        await self._open_tab(number)

    async def action_next_tab(self, by: int) -> None:
        """Open the tab beside the present one."""
        await self._open_tab((self.tab - 1 + by) % len(TABS) + 1)

    def _scrolled(self) -> Widget | None:
        panel = self._panels.get(self.tab)
        return panel.scroll_target() if panel is not None else None

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

    def action_runs(self) -> None:
        """Go to the list of runs."""
        self._host.show_runs()

    def action_copy(self) -> None:
        """Copy the open tab's text, or the run's path."""
        panel = self._panels.get(self.tab)
        text = panel.copy_text() if panel is not None else ""
        what = "Copied the text." if text else "Copied the run's path."
        self._host.copy(text or str(self._client.run.root), self.words(what))

"""The training: a grid of charts; beside it, or instead of it, figures, checkpoints and samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal
from textual.content import Content
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Input, Static

from so8t_core.contract.errors import So8tError
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import list_runs
from so8t_core.contract.series import Series
from so8t_core.contract.state import PhaseView
from so8t_core.contract.watch import Watch
from so8t_tui.locale import Words
from so8t_tui.metrics import GROUPS, Group, chosen, curves_of, groups_of
from so8t_tui.plot import Curve
from so8t_tui.screens.choose import ChooseDialog
from so8t_tui.text import outside
from so8t_tui.widgets.chart import ExplorableChart
from so8t_tui.widgets.field import Field
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.train_side import KNOWN, TrainSide

_CHART_HEIGHT = 8
_EVERYTHING = re.compile("")


class Train(Panel):
    """`/` filters the charts by a regular expression, `o` lays another run over them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="train.filter"),
        Binding("o", "overlay", "Overlay", id="train.overlay"),
        Binding("i", "details", "Details", id="train.details"),
        Binding("up", "focus_chart(-1)", "Chart above", id="train.up", show=False),
        Binding("down", "focus_chart(1)", "Chart below", id="train.down", show=False),
        Binding("escape", "back", "Back", id="train.back", show=False),
    ]

    def __init__(self, words: Words, run: RunDir) -> None:
        super().__init__(words)
        self._run = run
        self._pattern = _EVERYTHING
        self._view: PhaseView | None = None
        self._charts: dict[str, ExplorableChart] = {}
        self._large: str | None = None
        self._other: tuple[str, Mapping[str, Series]] | None = None

    def compose(self) -> ComposeResult:
        words = self.words
        yield Static(id="train-note")
        with Horizontal(classes="train"):
            yield Grid(id="charts")
            yield TrainSide(words)
        search = Field(placeholder=words("regular expression"), compact=True, id="train-filter")
        search.display = False
        yield search

    def on_mount(self) -> None:
        self._lay_out()

    def on_resize(self) -> None:
        self._arrange()

    def show(self, scene: Scene) -> None:
        state = scene.seen.state
        view = state.phases["train"]
        known = self._groups()
        self._view = view
        if self._groups() != known:
            self._lay_out()
        for title, chart in self._charts.items():
            if chart.display:
                chart.put(self._curves(title))
        self.query_one(TrainSide).put(state, self.facts_from(view.stats, KNOWN))

    def _groups(self) -> tuple[Group, ...]:
        return groups_of(self._view.series) if self._view is not None else GROUPS

    def _curves(self, title: str) -> tuple[Curve, ...]:
        group = next(each for each in self._groups() if each.title == title)
        series = self._view.series if self._view is not None else {}
        mine = curves_of(group, series, self.words)
        if self._other is None:
            return mine
        name, others = self._other
        return (*mine, *curves_of(group, others, self.words, name))

    # --- the grid --------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Make charts that are missing, show those that pass the filter."""
        grid = self.query_one("#charts", Grid)
        for group in self._groups():
            if group.title not in self._charts:
                empty = self.words("Drawn from the first step on.")
                chart = ExplorableChart(self.words(group.title), empty)
                self._charts[group.title] = chart
                grid.mount(chart)
        passing = {group.title for group in chosen(self._groups(), self._pattern, self.words)}
        if self._large is not None:
            passing &= {self._large}
        for title, chart in self._charts.items():
            chart.display = title in passing
        self._arrange()

    def _arrange(self) -> None:
        """As many columns as the width carries; rows as high as there is room, or scrolled."""
        try:
            grid = self.query_one("#charts", Grid)
        except NoMatches:
            return
        shown = [chart for chart in self._charts.values() if chart.display]
        width, height = grid.size
        if not shown or width < 1:
            return
        columns = max(1, min(len(shown), width // 38, 3))
        rows = -(-len(shown) // columns)
        grid.styles.grid_size_columns = columns
        grid.styles.grid_rows = str(max(min(_CHART_HEIGHT, height), height // rows))

    def focus_target(self) -> Widget | None:
        if not self.query_one("#charts", Grid).display:
            return self.query_one(TrainSide)
        return next((chart for chart in self._charts.values() if chart.display), None)

    def scroll_target(self) -> Widget | None:
        grid = self.query_one("#charts", Grid)
        return grid if grid.display else self.query_one(TrainSide)

    def action_focus_chart(self, by: int) -> None:
        """Move between the charts."""
        shown = [chart for chart in self._charts.values() if chart.display]
        focused = self.screen.focused
        if shown:
            place = shown.index(focused) if focused in shown else -by
            shown[(place + by) % len(shown)].focus()

    @on(ExplorableChart.Enlarged)
    def _enlarged(self, event: ExplorableChart.Enlarged) -> None:
        event.stop()
        if self._large is None:
            self._large = next(t for t, chart in self._charts.items() if chart is event.chart)
        else:
            self._large = None
        self._lay_out()
        self._show_again()
        event.chart.focus()

    def _show_again(self) -> None:
        for title, chart in self._charts.items():
            if chart.display:
                chart.put(self._curves(title))

    # --- filter and overlay ------------------------------------------------------------------

    def action_filter(self) -> None:
        """Type a regular expression that the charts' names must match."""
        search = self.query_one("#train-filter", Input)
        search.display = True
        search.focus()

    def action_details(self) -> None:
        """Show figures, checkpoints and samples, or the charts again, where not both fit."""
        self.toggle_class("-details")
        self.call_after_refresh(self._focus_what_shows)

    def action_back(self) -> None:
        """Undo one thing: the filter, the large chart, the overlay, the details."""
        search = self.query_one("#train-filter", Input)
        if search.display or self._pattern is not _EVERYTHING:
            search.value = ""
            search.display = False
        elif self._large is not None:
            self._large = None
        elif self._other is not None:
            self._other = None
        else:
            self.remove_class("-details")
        self._note()
        self._lay_out()
        self._show_again()
        self.call_after_refresh(self._focus_what_shows)

    def _focus_what_shows(self) -> None:
        target = self.focus_target()
        if target is not None:
            target.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return bool(
                self._pattern is not _EVERYTHING
                or self.query_one("#train-filter", Input).display
                or self._large is not None
                or self._other is not None
                or self.has_class("-details")
            )
        return super().check_action(action, parameters)

    @on(Input.Changed, "#train-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            self._pattern = re.compile(event.value, re.IGNORECASE) if event.value else _EVERYTHING
        except re.error as error:
            self._note(self.words("Not a regular expression: {why}", why=outside(error, 80)))
            return
        self._note()
        self._lay_out()
        self._show_again()

    @on(Input.Submitted, "#train-filter")
    def _kept(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#train-filter", Input).display = False
        target = self.focus_target()
        if target is not None:
            target.focus()

    def _note(self, problem: str = "") -> None:
        parts = [problem] if problem else []
        if self._pattern is not _EVERYTHING and not problem:
            parts.append(self.words("with “{needle}”", needle=outside(self._pattern.pattern, 40)))
        if self._other is not None:
            parts.append(self.words("over it: {run}", run=self._other[0]))
        note = self.query_one("#train-note", Static)
        note.display = bool(parts)
        note.update(Content.styled(" · ".join(parts), "$caution" if problem else "$faint"))

    def action_overlay(self) -> None:
        """Choose a run whose curves are laid over these."""
        try:
            runs = [run for run in list_runs(self._run.root.parent) if run.root != self._run.root]
        except So8tError as error:
            self.app.notify("\n".join(error.lines()), severity="error", markup=False)
            return

        def picked(index: int | None) -> None:
            if index is not None:
                self.run_worker(partial(self._read_other, runs[index]), thread=True)

        names = [outside(run.name, 60) for run in runs]
        title = self.words("Lay which run over this one?")
        empty = self.words("There is no other run in this folder.")
        self.app.push_screen(ChooseDialog(self.words, title, names, empty), picked)

    def _read_other(self, run: RunDir) -> None:
        """In a thread: a long journal takes a while."""
        try:
            watch = Watch(run)
            try:
                series = watch.catch_up().phases["train"].series
            finally:
                watch.close()
        except So8tError as error:
            told = "\n".join(outside(line, 300) for line in error.lines())
            self.app.call_from_thread(self.app.notify, told, severity="error", markup=False)
            return
        self.app.call_from_thread(self._lay_over, outside(run.name, 40), series)

    def _lay_over(self, name: str, series: Mapping[str, Series]) -> None:
        self._other = (name, series)
        self._note()
        self._show_again()

"""Home: every run below a folder, how it stands, and what can be done with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.rundir import RunDir
from so8t_tui.amounts import clock_time
from so8t_tui.locale import Words
from so8t_tui.runlist import RunList, RunSummary
from so8t_tui.screens.choose import ChooseDialog
from so8t_tui.screens.host import HINT, Host
from so8t_tui.screens.newrun import NewRunDialog
from so8t_tui.standing import LOOKS
from so8t_tui.text import fitted, outside, table_cell
from so8t_tui.widgets.keybar import KeyBar
from so8t_tui.widgets.table import Table
from so8t_tui.widgets.titlebar import Heading, TitleBar

POLL_S = 0.5
POLL_BEHIND_S = 0.001
Pieces = tuple[tuple[str, str], ...]
_RESUMABLE = frozenset({"pending", "paused", "failed", "crashed"})
_YEARS_FROM = 78
_PROBLEM_FROM, _OTHER_COLUMNS = 16, 58
_COLUMNS = ("run", "state", "phases", "phase", "started")


class RunsTable(Table):
    """The table's own Enter, named for what it does here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", id="home.open")
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "select_cursor":
            return self.row_count > 0
        return super().check_action(action, parameters)


class RunsScreen(Screen[None]):
    """The list of runs, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_run", "New run", id="home.new"),
        Binding("D", "new_demo", "Demo", id="home.demo"),
        Binding("r", "resume", "Resume", id="home.resume"),
        Binding("c", "compare", "Compare", id="home.compare"),
        Binding("q", "quit_home", "Quit", id="home.quit"),
        Binding("j", "cursor(1)", "Down", id="home.down", show=False),
        Binding("k", "cursor(-1)", "Up", id="home.up", show=False),
    ]

    def __init__(self, host: Host, runs_dir: Path) -> None:
        super().__init__()
        self._host = host
        self._runs = RunList(runs_dir)
        self._rows: dict[str, tuple[Pieces, ...]] = {}

    @property
    def words(self) -> Words:
        """The interface's language."""
        return self._host.words

    def compose(self) -> ComposeResult:
        words = self.words
        yield TitleBar(words, Heading(words("Runs in {path}", path=outside(self._runs.runs_dir))))
        yield RunsTable(cursor_type="row", id="runs")
        yield Static(self._welcome(), id="welcome")
        yield KeyBar(words)

    def _welcome(self) -> Content:
        words = self.words
        demo = words("Press D to start the demo: all eight phases, minutes on two cores.")
        asked = (
            "Or press n to start one from your settings."
            if self._host.offers_new_run
            else "Or start one from your settings: so8t run -c FILE"
        )
        return Content("\n\n").join(
            [
                Content.styled(words("No run here yet."), "bold $ink"),
                *([Content.styled(demo, "$soft")] if self._host.offers_demo else []),
                Content.styled(words(asked), "$soft"),
            ]
        )

    def on_mount(self) -> None:
        table = self._table()
        for name in _COLUMNS:
            table.add_column(self.words(name), key=name)
        self._tick()
        if self._host.hint_due:
            self.notify(self.words(HINT), title=self.words("Welcome"), timeout=12, markup=False)

    def on_unmount(self) -> None:
        self._runs.close()

    def _table(self) -> RunsTable:
        return self.query_one(RunsTable)

    def _tick(self) -> None:
        if not self.is_attached:
            return
        if self._runs.poll() or not self._rows:
            self._paint()
        self.set_timer(POLL_BEHIND_S if self._runs.behind else POLL_S, self._tick)

    def _paint(self) -> None:
        table = self._table()
        names = [str(run.root) for run in self._runs.order]
        table.display = bool(names)
        self.query_one("#welcome").display = not names
        if [*self._rows] != names:
            self._rebuild(names)
        for run in self._runs.order:
            summary = self._runs.summaries.get(run.root)
            if summary is not None:
                self._update_row(str(run.root), summary)
        if names and self.is_active and self.focused is None:
            table.focus()  # a click beside the list took the keyboard from it
        self.refresh_bindings()

    def _rebuild(self, names: list[str]) -> None:
        """Rows in the order of the list; the cursor stays on its run."""
        table = self._table()
        chosen = self._chosen()
        table.clear()
        self._rows = {}
        for name in names:
            table.add_row(
                self._cell(((outside(Path(name).name, 60), "$ink"),)),
                *(Text() for _ in _COLUMNS[1:]),
                key=name,
            )
            self._rows[name] = ()
        if chosen in self._rows:
            table.move_cursor(row=names.index(chosen))

    def _update_row(self, name: str, summary: RunSummary) -> None:
        cells = self._cells(summary)
        if cells == self._rows[name]:
            return
        self._rows[name] = cells
        for column, cell in zip(_COLUMNS[1:], cells, strict=True):
            self._table().update_cell(name, column, self._cell(cell), update_width=True)

    def _cell(self, parts: Pieces) -> Text:
        return table_cell(parts, self.app.theme_variables)

    def _cells(self, summary: RunSummary) -> tuple[Pieces, ...]:
        words = self.words
        look = LOOKS[summary.standing]
        if summary.problem is not None:
            room = max(_PROBLEM_FROM, self.app.size.width - _OTHER_COLUMNS)
            what = fitted(outside(summary.problem.what, 80), room).rstrip()
            return ((f"{look.glyph} {words('unreadable')}", "$bad"),), (), ((what, "$soft"),), ()
        if summary.reading:
            # no wider than a state: a column keeps the width that it once had
            return ((f"… {words('reads')}", "$faint"),), (), (), ()
        looks = [LOOKS[summary.phases[name]] for name in PHASE_NAMES]
        share = f" {summary.progress:.0%}" if summary.progress is not None else ""
        phase = words(summary.current) + share if summary.current else ""
        started = self._started(summary.created_at) if summary.created_at else ""
        return (
            ((f"{look.glyph} {words(look.word)}", look.style),),
            tuple((each.glyph, each.style) for each in looks),
            ((phase, "$ink"),),
            ((started, "$soft"),),
        )

    def _started(self, created_at: float) -> str:
        """When a run was begun; on a narrow screen the time of today's runs, the day of others."""
        if self.app.size.width >= _YEARS_FROM:
            return clock_time(created_at, "%Y-%m-%d %H:%M")
        day = clock_time(created_at, "%m-%d")
        return clock_time(created_at, "%H:%M") if day == clock_time(time.time(), "%m-%d") else day

    def _chosen(self) -> str | None:
        table = self._table()
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return str(key)

    @on(DataTable.RowHighlighted)
    def _row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.refresh_bindings()

    @on(DataTable.RowSelected)
    def _row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        for run in self._runs.order:
            if str(run.root) == event.row_key.value:
                self._host.open_run(run)

    def action_new_demo(self) -> None:
        """Start the demo."""
        self._host.new_demo()

    def action_new_run(self) -> None:
        """Ask for settings, then start a run with them."""
        known = self._host.outside.configs

        def chosen(wanted: tuple[Path, tuple[str, ...]] | None) -> None:
            if wanted is not None:
                self._host.new_run(*wanted)

        self.app.push_screen(NewRunDialog(self.words, known() if known else []), chosen)

    def _resumable(self) -> bool:
        chosen = self._chosen_run()
        summary = self._runs.summaries.get(chosen.root) if chosen is not None else None
        may = summary is not None and summary.problem is None and summary.standing in _RESUMABLE
        return may and not self._host.read_only

    def _chosen_run(self) -> RunDir | None:
        chosen = self._chosen()
        return next((run for run in self._runs.order if str(run.root) == chosen), None)

    def action_resume(self) -> None:
        """Open the chosen run and have it go on."""
        run = self._chosen_run()
        if run is not None:
            self._host.open_run(run, resume=True)

    def action_compare(self) -> None:
        """Choose a second run to stand beside the chosen one."""
        first = self._chosen_run()
        others = [run for run in self._runs.order if first is not None and run.root != first.root]

        def picked(index: int | None) -> None:
            if index is not None and first is not None:
                self._host.compare(first, others[index])

        words = self.words
        title = words("Compare {run} with", run=outside(first.name, 40) if first else "")
        names = [outside(run.name, 60) for run in others]
        empty = words("There is no other run in this folder.")
        self.app.push_screen(ChooseDialog(words, title, names, empty), picked)

    def action_quit_home(self) -> None:
        """Leave; engines go on."""
        self._host.leave("closed")

    def action_cursor(self, by: int) -> None:
        """Move between runs."""
        table = self._table()
        table.move_cursor(row=table.cursor_row + by)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "new_demo":
            return self._host.offers_demo
        if action == "new_run":
            return self._host.offers_new_run
        if action == "resume":
            return self._resumable()
        if action == "compare":
            return len(self._runs.order) > 1
        return super().check_action(action, parameters)

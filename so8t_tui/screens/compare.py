"""Two runs side by side: their figures, and their losses in one chart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

from so8t_core.contract.errors import So8tError
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.state import RunState
from so8t_core.contract.watch import Watch
from so8t_tui.amounts import as_float, measured
from so8t_tui.locale import Words
from so8t_tui.metrics import GROUPS, curves_of
from so8t_tui.screens.host import Host
from so8t_tui.text import outside
from so8t_tui.widgets.chart import ExplorableChart
from so8t_tui.widgets.keybar import KeyBar
from so8t_tui.widgets.rows import Cell, Row, Rows
from so8t_tui.widgets.titlebar import Heading, TitleBar

_DEPTH = 4
Path = tuple[str, ...]
Flat = tuple[Path, Any]


class Figures(Rows, can_focus=False):
    """As high as its rows, so that its container scrolls it."""


class CompareScreen(Screen[None]):
    """The figures of every phase that both runs have, those that differ first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Runs", id="compare.back"),
        Binding("j", "scroll_by(1)", "Down", id="compare.down", show=False),
        Binding("k", "scroll_by(-1)", "Up", id="compare.up", show=False),
    ]

    def __init__(self, host: Host, runs: tuple[RunDir, RunDir]) -> None:
        super().__init__()
        self._host = host
        self._runs = runs

    @property
    def words(self) -> Words:
        """The interface's language."""
        return self._host.words

    def compose(self) -> ComposeResult:
        words = self.words
        first, second = (outside(run.name, 50) for run in self._runs)
        yield TitleBar(words, Heading(f"{first}  ↔  {second}"))
        yield ExplorableChart(words("Loss"), words("Reading both journals."), id_="both")
        with VerticalScroll(id="figures"):
            yield Figures(words("Figures"), words("Reading both journals."))
        yield KeyBar(words)

    def on_mount(self) -> None:
        self.query_one("#figures").focus()
        self.run_worker(self._read, thread=True)

    def _read(self) -> None:
        """In a thread: long journals take a while."""
        states = []
        for run in self._runs:
            try:
                watch = Watch(run)
                try:
                    states.append(watch.catch_up())
                finally:
                    watch.close()
            except So8tError as error:
                self.app.call_from_thread(self._host.tell, error)
                return
        self.app.call_from_thread(partial(self._show, *states))

    def _show(self, first: RunState, second: RunState) -> None:
        if not self.is_attached:
            return
        curves = [
            curve
            for run, state in zip(self._runs, (first, second), strict=True)
            for curve in curves_of(
                GROUPS[0], state.phases["train"].series, self.words, outside(run.name, 30)
            )
        ]
        self.query_one("#both", ExplorableChart).put(tuple(curves))
        self.query_one(Figures).put(self._rows(first, second))

    def _rows(self, first: RunState, second: RunState) -> tuple[Row, ...]:
        names = [outside(run.name, 30) for run in self._runs]
        head: Row = (
            Cell(""),
            *(Cell(name, "bold $brand", flush_right=True) for name in names),
            Cell(""),
        )
        different: list[Row] = []
        same: list[Row] = []
        for name in PHASE_NAMES:
            ours = dict(_flat(first.phases[name].figures))
            theirs = dict(_flat(second.phases[name].figures))
            for key in [*ours, *(key for key in theirs if key not in ours)]:
                row = self._row((name, *key), ours.get(key), theirs.get(key))
                (same if ours.get(key) == theirs.get(key) else different).append(row)
        return (head, *different, *same)

    def _row(self, path: Path, ours: Any, theirs: Any) -> Row:
        words = self.words
        names = [words(outside(part, 60).replace("_", " ")) for part in path[:-1]]
        names.append(words(measured(outside(path[-1], 60), theirs if ours is None else ours)[0]))
        cells = ["" if value is None else self._told(path[-1], value) for value in (ours, theirs)]
        differs = ours != theirs
        change = ""
        if differs and _is_number(ours) and _is_number(theirs) and ours:
            before = as_float(ours)
            change = f"{(as_float(theirs) - before) / abs(before):+.1%}"
        style = "$ink" if differs else "$faint"
        return (
            Cell(" · ".join(names), "$soft" if differs else "$faint"),
            *(Cell(cell, style, flush_right=True) for cell in cells),
            Cell(change, "$caution", flush_right=True),
        )

    def _told(self, key: str, value: Any) -> str:
        told = outside(measured(key, value)[1], 24)
        return self.words(told) if isinstance(value, bool) else told

    def action_back(self) -> None:
        """Go back to the list of runs."""
        self._host.show_runs()

    def action_scroll_by(self, by: int) -> None:
        """Scroll the figures by a line."""
        self.query_one("#figures", VerticalScroll).scroll_relative(y=by, animate=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(figures: Mapping[str, Any], above: Path = (), depth: int = _DEPTH) -> list[Flat]:
    """Every single figure with the names that lead to it."""
    flat: list[Flat] = []
    for key, value in figures.items():
        name = (*above, str(key))
        if isinstance(value, Mapping) and depth:
            flat += _flat(value, name, depth - 1)
        elif isinstance(value, int | float | str):
            flat.append((name, value))
    return flat

"""What stands beside the charts of a training: figures, checkpoints, samples, the machine."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from so8t_core.contract.state import PhaseView, RunState
from so8t_tui.amounts import as_float, clock_time, duration, number, size
from so8t_tui.locale import Words
from so8t_tui.plot import tick
from so8t_tui.text import outside
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.pipeline import eta_s
from so8t_tui.widgets.resources import Resources, gauges_of
from so8t_tui.widgets.rows import Cell, Row, Rows
from so8t_tui.widgets.samples import Samples

KNOWN = frozenset({"eta_s", "epoch", "tokens_per_s"})
"""Statistics that are shown with a wording of their own, or as a chart."""
_SERIES = (
    ("loss", "loss"),
    ("eval_loss", "evaluation loss"),
    ("orthogonality", "orthogonality error"),
    ("rotation_angle_mean", "rotation angle, mean"),
)


class TrainSide(VerticalScroll, can_focus=True):
    """Blocks under one another, each as high as what it holds."""

    def __init__(self, words: Words) -> None:
        super().__init__(id="side")
        self._words = words

    def compose(self) -> ComposeResult:
        words = self._words
        yield Facts(words("Training"), words("Starts after integration."), id_="figures")
        yield Rows(words("Checkpoints"), words("Appear as they reach the disk."), id_="saved")
        yield Samples(words, id_="generated")
        yield Resources(words("Machine"), words("Readings come with an engine."))

    def put(self, state: RunState, others: tuple[Fact, ...]) -> None:
        """Show a state; `others` are facts that need no wording of their own."""
        view = state.phases["train"]
        figures = self._figures(view)
        self.query_one("#figures", Facts).put((*figures, *others) if figures else ())
        self.query_one("#saved", Rows).put(_checkpoints(view, self._words))
        samples = self.query_one(Samples)
        samples.put_newest(view.items)
        samples.display = bool(view.items)
        self.query_one(Resources).put(gauges_of(state, self._words))

    def _figures(self, view: PhaseView) -> tuple[Fact, ...]:
        words = self._words
        if view.started_at is None:
            return ()
        facts = [Fact(words("step"), _of(view), "bold $ink")]
        epoch = view.stats.get("epoch")
        if isinstance(epoch, int | float):
            facts.append(Fact(words("epoch"), f"{as_float(epoch):.2f}"))
        eta = eta_s(view)
        if eta is not None and view.state == "running":
            facts.append(Fact(words("time left"), duration(eta), "bold $running"))
        for key, label in _SERIES:
            last = view.series[key].last if key in view.series else None
            if last is not None:
                facts.append(Fact(words(label), tick(last)))
        return tuple(facts)


def _of(view: PhaseView) -> str:
    return number(view.done) + (f" / {number(view.total)}" if view.total else "")


def _checkpoints(view: PhaseView, words: Words) -> tuple[Row, ...]:
    return tuple(
        (
            Cell(number(made.step), "$ink", flush_right=True),
            Cell(clock_time(made.ts), "$faint"),
            Cell(size(made.size_bytes), "$soft", flush_right=True),
            Cell(words(outside(made.reason, 60)), "$soft"),
        )
        for made in reversed(view.checkpoints)
    )

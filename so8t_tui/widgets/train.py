"""The training: curves, speed, time left and the checkpoints on disk."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Grid, Horizontal, Vertical

from so8t_core.contract.series import Series
from so8t_core.contract.state import PhaseView
from so8t_tui.amounts import duration, number, size
from so8t_tui.text import outside
from so8t_tui.widgets.chart import Chart, Curve, tick
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.pipeline import eta_s
from so8t_tui.widgets.resources import Resources, gauges_of
from so8t_tui.widgets.rows import Cell, Row, Rows

_CHARTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("loss", "Loss", (("loss", "train"), ("eval_loss", "eval"))),
    (
        "rate",
        "Learning rate",
        (("learning_rate", "LoRA"), ("gate_learning_rate", "gate")),
    ),
    ("norm", "Gradient norm", (("grad_norm", "norm"),)),
    ("speed", "Tokens/s", (("tokens_per_s", "tokens/s"),)),
)
_HEALTH = (
    ("orthogonality", "orthogonality error"),
    ("rotation_angle_mean", "rotation angle, mean"),
)
_KNOWN = frozenset({"eta_s", "epoch", "tokens_per_s"})


class Train(Panel):
    """Four charts; beside them (below, where it is narrow) figures and checkpoints."""

    def compose(self) -> ComposeResult:
        words = self.words
        with Horizontal(classes="train"):
            with Grid(id="charts"):
                for id_, title, _ in _CHARTS:
                    yield Chart(words(title), words("Drawn from the first step on."), id_=id_)
            with Vertical(id="side"):
                yield Facts(words("Training"), words("Starts after integration."), id_="figures")
                yield Rows(
                    words("Checkpoints"), words("Appear as they reach the disk."), id_="saved"
                )
                yield Resources(words("Machine"), words("Readings come with an engine."))

    def show(self, scene: Scene) -> None:
        view = scene.seen.state.phases["train"]
        for id_, _, curves in _CHARTS:
            self.query_one(f"#{id_}", Chart).put(
                tuple(
                    Curve(self.words(name), view.series.get(key, Series())) for key, name in curves
                )
            )
        self.query_one("#figures", Facts).put(self._figures(view))
        self.query_one("#saved", Rows).put(_checkpoints(view))
        self.query_one(Resources).put(gauges_of(scene.seen.state, self.words))

    def _figures(self, view: PhaseView) -> tuple[Fact, ...]:
        words = self.words
        if view.started_at is None:
            return ()
        facts = [Fact(words("step"), _of(view), "bold $ink")]
        epoch = view.stats.get("epoch")
        if isinstance(epoch, int | float):
            facts.append(Fact(words("epoch"), f"{epoch:.2f}"))
        eta = eta_s(view)
        if eta is not None and view.state == "running":
            facts.append(Fact(words("time left"), duration(eta), "bold $running"))
        for key, label in (("loss", "loss"), ("eval_loss", "evaluation loss"), *_HEALTH):
            last = view.series[key].last if key in view.series else None
            if last is not None:
                facts.append(Fact(words(label), tick(last)))
        return (*facts, *self.facts_from(view.stats, _KNOWN))


def _of(view: PhaseView) -> str:
    return number(view.done) + (f" / {number(view.total)}" if view.total else "")


def _checkpoints(view: PhaseView) -> tuple[Row, ...]:
    return tuple(
        (
            Cell(number(made.step), "$ink", flush_right=True),
            Cell(time.strftime("%H:%M:%S", time.localtime(made.ts)), "$faint"),
            Cell(size(made.size_bytes), "$soft", flush_right=True),
            Cell(outside(made.reason, 60), "$soft"),
        )
        for made in reversed(view.checkpoints)
    )

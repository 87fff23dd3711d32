"""The model: what verification proved, what integration wrote, how far the rotations moved."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from so8t_core.contract.phases import PhaseName
from so8t_core.contract.series import Series
from so8t_tui.metrics import LAYER
from so8t_tui.plot import Curve
from so8t_tui.widgets.chart import Chart
from so8t_tui.widgets.facts import Facts
from so8t_tui.widgets.heat import HeatMap, HeatRow
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.publication import publication_facts

_SHOWN: tuple[PhaseName, ...] = ("verify", "integrate", "export")


class Model(Panel):
    """Verification, integration and export side by side; the rotations below."""

    def compose(self) -> ComposeResult:
        words = self.words
        with Horizontal(classes="upper"):
            yield Facts(
                words("Verification"),
                words("Proof that the gated model equals the base."),
                id_="verify",
            )
            yield Facts(words("Integration"), words("What is written, and where."), id_="integrate")
            yield Facts(words("Export"), words("Folded model and GGUF files."), id_="export")
        with Horizontal(classes="lower"):
            yield HeatMap(
                words("Rotation angle by layer, rad"),
                words("One row a layer; it fills while training runs."),
                id_="layers",
            )
            yield Chart(
                words("Rotation angle, mean"), words("Moves while training runs."), id_="angle"
            )
            yield Chart(
                words("Orthogonality error"),
                words("Moves while training runs."),
                id_="orthogonality",
            )

    def show(self, scene: Scene) -> None:
        for name in _SHOWN:
            view = scene.seen.state.phases[name]
            facts = self.facts_from(view.figures or view.stats)
            if name == "export":
                facts = (*publication_facts(scene.seen.publication, self.words), *facts)
            self.query_one(f"#{name}", Facts).put(facts)
        series = scene.seen.state.phases["train"].series
        layers = sorted(
            (int(found[1]), name) for name in series if (found := LAYER.fullmatch(name))
        )
        self.query_one(HeatMap).put(
            tuple(HeatRow(str(number), series[name]) for number, name in layers)
        )
        for id_, key in (("angle", "rotation_angle_mean"), ("orthogonality", "orthogonality")):
            self.query_one(f"#{id_}", Chart).put((Curve(key, series.get(key, Series())),))

"""The machine: every reading of host and GPUs as a gauge, and its course over the run."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from so8t_core.contract.series import Series
from so8t_core.contract.state import RunState
from so8t_tui.amounts import as_float
from so8t_tui.plot import Curve
from so8t_tui.widgets.chart import ExplorableChart
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.resources import Resources, gauges_of, gpu_numbers

_TRAIN_MEMORY = (
    ("gpu_memory_allocated_bytes", "allocated"),
    ("gpu_memory_reserved_bytes", "reserved"),
    ("gpu_memory_peak_bytes", "peak"),
)


class MachineTab(Panel):
    """Gauges at the left; load, memory, heat and traffic over time at the right."""

    def compose(self) -> ComposeResult:
        words = self.words
        empty = words("Readings come with an engine.")
        with Horizontal(classes="machine"):
            yield Resources(words("Now"), empty, id_="gauges")
            with Horizontal(classes="courses"):
                for id_, title in (
                    ("load", "Load, %"),
                    ("used", "Memory, GB"),
                    ("heat", "Heat, °C, and power, W"),
                    ("traffic", "Network, MB/s"),
                ):
                    yield ExplorableChart(words(title), empty, over_time=True, id_=id_)

    def show(self, scene: Scene) -> None:
        state = scene.seen.state
        training = [
            (label, as_float(value) / 1e9)
            for key, label in _TRAIN_MEMORY
            if isinstance(value := state.phases["train"].stats.get(key), int | float)
        ]
        self.query_one(Resources).put(gauges_of(state, self.words, training))
        for id_, curves in self._courses(state).items():
            chart = self.query_one(f"#{id_}", ExplorableChart)
            chart.put(curves)
            chart.display = bool(curves) or id_ in {"load", "used"}
        alone = not self.query_one("#traffic").display
        self.query_one("#heat").set_class(alone, "-last")

    def _courses(self, state: RunState) -> Mapping[str, tuple[Curve, ...]]:
        words, series = self.words, state.resource_series
        gpus = [(f"gpu{n}", f"GPU {n}") for n in gpu_numbers(state.resources)]
        wanted = {
            "load": [
                ("cpu_percent", "CPU"),
                *((f"{stem}_util_percent", name) for stem, name in gpus),
            ],
            "used": [
                ("ram_used_gb", words("memory")),
                ("engine_rss_gb", words("engine")),
                *((f"{stem}_used_gb", name) for stem, name in gpus),
            ],
            "heat": [
                *((f"{stem}_temperature_c", f"{name} °C") for stem, name in gpus),
                *((f"{stem}_power_w", f"{name} W") for stem, name in gpus),
            ],
            "traffic": [
                ("net_received_mb_per_s", words("received")),
                ("net_sent_mb_per_s", words("sent")),
            ],
        }
        return {
            id_: tuple(
                Curve(name, found)
                for key, name in keys
                if (found := series.get(key, Series())).length
            )
            for id_, keys in wanted.items()
        }

    def focus_target(self) -> Widget | None:
        return self.query_one("#load", ExplorableChart)

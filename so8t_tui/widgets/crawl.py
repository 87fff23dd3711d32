"""The crawl: speed, frontier, answers, refusals, hosts and the newest pages."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from so8t_core.contract.state import PhaseView
from so8t_tui.amounts import number, rate, size
from so8t_tui.crawlwords import rules_of
from so8t_tui.plot import Curve
from so8t_tui.throughput import throughput
from so8t_tui.widgets.chart import Chart
from so8t_tui.widgets.counts import Counts, counts_of
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.hosts import Hosts
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.recent import recent_rows
from so8t_tui.widgets.rows import Rows

_KNOWN = frozenset(
    {"pages_per_s", "eta_s", "body_bytes", "status", "refusals", "failures", "hosts", "frontier"}
)


class Crawl(Panel):
    """Figures, throughput and counts above, hosts and pages below."""

    def compose(self) -> ComposeResult:
        words = self.words
        with Horizontal(classes="upper"):
            yield Facts(words("Progress"), words("Starts with the crawl."), id_="progress")
            yield Chart(
                words("Pages/s"), words("Drawn while pages come."), over_time=True, id_="throughput"
            )
            yield Counts(words("Answers"), words("HTTP status classes."), id_="answers")
            yield Counts(words("Failed"), words("None so far."), id_="failed")
            yield Counts(words("Refused"), words("What a rule kept out, and which."), id_="refused")
        with Horizontal(classes="lower"):
            yield Hosts(words)
            yield Rows(words("Newest pages"), words("Fetched pages appear here."), id_="pages")

    def show(self, scene: Scene) -> None:
        words = self.words
        view = scene.seen.state.phases["crawl"]
        self.query_one("#progress", Facts).put(self._progress(view))
        speeds = throughput(view.course)
        self.query_one("#throughput", Chart).put((Curve(words("speed"), speeds),))
        self.query_one("#answers", Counts).put(counts_of(self.counted(view, "status"), words))
        failures = self.query_one("#failed", Counts)
        failures.put(rules_of(self.counted(view, "failures"), words))
        failures.display = bool(failures.value)
        self.query_one("#refused", Counts).put(rules_of(self.counted(view, "refusals"), words))
        hosts = self.counted(view, "hosts") or view.figures.get("hosts", {})
        self.query_one(Hosts).put(hosts if isinstance(hosts, Mapping) else {})
        self.query_one("#pages", Rows).put(recent_rows(view.items, "page"))

    def focus_target(self) -> Widget | None:
        return self.query_one(Hosts)

    def _progress(self, view: PhaseView) -> tuple[Fact, ...]:
        words, stats = self.words, view.stats
        facts: list[Fact] = []
        if view.done or view.total:
            facts.append(Fact(words("pages"), number(view.done), "bold $ink"))
        speed = stats.get("pages_per_s")
        if isinstance(speed, int | float):
            facts.append(Fact(words("speed"), rate(speed, words("pages"))))
        received = stats.get("body_bytes")
        if isinstance(received, int | float):
            facts.append(Fact(words("received"), size(received)))
        for key, value in self.counted(view, "frontier").items():
            facts.append(self.fact(key, value))
        return (*facts, *self.facts_from(stats, _KNOWN))

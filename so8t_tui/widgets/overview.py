"""The first tab: all phases with times and results, the machine, and the newest log lines."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.series import Series
from so8t_core.contract.state import LogLine, PhaseView
from so8t_core.contract.watch import Seen
from so8t_tui.amounts import clock_time, duration, number
from so8t_tui.locale import Words
from so8t_tui.plot import Curve
from so8t_tui.standing import LOOKS, phase_standing
from so8t_tui.text import outside
from so8t_tui.widgets.chart import Chart
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.publication import publication_tale
from so8t_tui.widgets.resources import Resources, gauges_of, gpu_numbers
from so8t_tui.widgets.rows import Cell, Row, Rows

LEVEL_STYLES = {"debug": "$faint", "info": "$ink", "warning": "$caution", "error": "$bad"}
_HEADLINE_FIGURES = 3
_LOG_LINES = 40


class Overview(Panel):
    """Phases above, machine and log below."""

    def compose(self) -> ComposeResult:
        words = self.words
        yield Rows(words("Phases"), id_="phases")
        with Horizontal(id="lower"):
            yield Resources(words("Machine"), words("Readings come with an engine."), id_="machine")
            yield Rows(
                words("Newest log lines"),
                words("Messages of the phases appear here."),
                newest_last=True,
                id_="newest",
            )
        with Horizontal(id="trends"):
            for name, title in (("load", "Load, %"), ("used", "Memory, GB")):
                yield Chart(
                    words(title),
                    words("Readings come with an engine."),
                    over_time=True,
                    id_=name,
                )
            yield Chart(words("Loss"), words("Drawn from the first step on."), id_="loss")

    def show(self, scene: Scene) -> None:
        seen = scene.seen
        rows = tuple(self._phase_row(seen, view, scene.now) for view in _views(seen))
        self.query_one("#phases", Rows).put(rows)
        self.query_one(Resources).put(gauges_of(seen.state, self.words))
        self._show_trends(scene)
        log = tuple(_log_row(line, self.words) for line in seen.state.log[-_LOG_LINES:])
        self.query_one("#newest", Rows).put(log)

    def _show_trends(self, scene: Scene) -> None:
        """Charts that the style sheet shows where the terminal is tall enough."""
        state = scene.seen.state
        gpus = [f"gpu{number}" for number in gpu_numbers(state.resources)[:1]]
        load = [("CPU", "cpu_percent"), *(("GPU", f"{gpu}_util_percent") for gpu in gpus)]
        used = [
            (self.words("memory"), "ram_used_gb"),
            (self.words("engine"), "engine_rss_gb"),
            *(("GPU", f"{gpu}_used_gb") for gpu in gpus),
        ]
        for name, wanted in (("load", load), ("used", used)):
            self.query_one(f"#{name}", Chart).put(
                tuple(Curve(n, state.resource_series.get(key, Series())) for n, key in wanted)
            )
        loss = state.phases["train"].series.get("loss", Series())
        self.query_one("#loss", Chart).put((Curve("loss", loss),))

    def _phase_row(self, seen: Seen, view: PhaseView, now: float) -> Row:
        standing = phase_standing(view, seen)
        look = LOOKS[standing]
        until = now if seen.liveness.alive else seen.state.last_ts
        active = duration(view.active_until(until)) if view.started_at is not None else ""
        return (
            Cell(f"{look.glyph} {self.words(view.name)}", look.style),
            Cell(self.words(look.word), look.style),
            Cell(active, "$ink", flush_right=True),
            Cell(_amount(view), "$soft", flush_right=True),
            Cell(self._tale(seen, view, now), "$soft" if standing != "failed" else "$bad"),
        )

    def _tale(self, seen: Seen, view: PhaseView, now: float) -> str:
        """What is worth saying: the error, what it does now, why it waits, or what came out."""
        parts: list[str] = []
        if view.name == "export" and seen.publication is not None:
            parts.append(publication_tale(seen.publication, self.words))
        if view.error is not None:
            parts.append(outside(view.error.get("what", ""), 200))
        if view.retry_at is not None:
            wait = duration(view.retry_at - now)
            parts.append(self.words("try {number} in {time}", number=view.attempt + 1, time=wait))
        elif view.state in {"running", "pausing", "paused"} and view.message:
            parts.append(outside(view.message, 200))
        elif view.state == "done" and view.figures:
            parts += self._headline(view, now)
        elif view.reason and view.error is None:
            parts.append(outside(view.reason, 200))
        if view.fallbacks:
            count = sum(view.fallbacks.values())
            parts.append(self.words("{count} fallbacks", count=count))
        return " · ".join(parts)

    def _headline(self, view: PhaseView, _now: float) -> list[str]:
        plain = {k: v for k, v in view.figures.items() if isinstance(v, int | float | str)}
        facts = self.facts_from(dict(list(plain.items())[:_HEADLINE_FIGURES]))
        return [f"{fact.label} {fact.value}" for fact in facts]


def _views(seen: Seen) -> list[PhaseView]:
    return [seen.state.phases[name] for name in PHASE_NAMES]


def _amount(view: PhaseView) -> str:
    if view.total:
        return f"{number(view.done)}/{number(view.total)}"
    return number(view.done) if view.done else ""


def _log_row(line: LogLine, words: Words) -> Row:
    clock = clock_time(line.ts)
    phase = words(line.phase) if line.phase else ""
    style = LEVEL_STYLES.get(line.level, "$ink")
    return Cell(clock, "$faint"), Cell(phase, "$soft"), Cell(outside(line.message, 300), style)

"""The cleansing: from pages to kept documents, and why the others were dropped."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from so8t_core.contract.state import PhaseView
from so8t_tui.amounts import number, rate
from so8t_tui.widgets.counts import Counts, counts_of
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.recent import recent_rows
from so8t_tui.widgets.rows import Rows

_KNOWN = frozenset({"documents_per_s", "kept", "dropped", "personal_data", "labels", "duplicates"})


class Cleanse(Panel):
    """Funnel and drops above; personal data, labels, duplicates and samples below."""

    def compose(self) -> ComposeResult:
        words = self.words
        with Horizontal(classes="upper"):
            yield Facts(words("Funnel"), words("Starts when the crawl is done."), id_="funnel")
            yield Counts(
                words("Dropped, by reason"), words("Each drop has its reason."), id_="dropped"
            )
        with Horizontal(classes="lower"):
            yield Counts(words("Personal data masked"), words("None so far."), id_="personal")
            yield Counts(words("Safety labels"), words("None so far."), id_="labels")
            yield Counts(words("Duplicates"), words("None so far."), id_="duplicates")
        yield Rows(words("Samples"), words("Documents appear here."), id_="samples")

    def show(self, scene: Scene) -> None:
        view = scene.seen.state.phases["cleanse"]
        self.query_one("#funnel", Facts).put(self._funnel(view))
        for name, key in (
            ("dropped", "dropped"),
            ("personal", "personal_data"),
            ("labels", "labels"),
            ("duplicates", "duplicates"),
        ):
            self.query_one(f"#{name}", Counts).put(counts_of(self.counted(view, key)))
        samples = self.query_one("#samples", Rows)
        samples.put(recent_rows(view.items))
        samples.display = bool(view.items)

    def _funnel(self, view: PhaseView) -> tuple[Fact, ...]:
        words, stats = self.words, view.stats
        facts: list[Fact] = []
        if view.done or view.total:
            of = f" / {number(view.total)}" if view.total else ""
            facts.append(Fact(words("progress"), number(view.done) + of))
        speed = stats.get("documents_per_s")
        if isinstance(speed, int | float):
            facts.append(Fact(words("speed"), rate(speed, words("documents"))))
        dropped = sum(count for _, count in counts_of(self.counted(view, "dropped")))
        kept = stats.get("kept")
        if isinstance(kept, int | float):
            facts.append(Fact(words("kept"), _share(kept, kept + dropped), "bold $good"))
        if dropped:
            whole = dropped + (kept if isinstance(kept, int | float) else 0)
            facts.append(Fact(words("dropped"), _share(dropped, whole), "$caution"))
        return (*facts, *self.facts_from(stats, _KNOWN))


def _share(part: float, whole: float) -> str:
    return f"{number(part)}  {part / whole:.0%}" if whole else number(part)

"""The cleansing: from pages to kept documents, and why the others were dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal

from so8t_core.contract.state import Item, PhaseView
from so8t_tui.amounts import number, rate, share_of
from so8t_tui.text import outside
from so8t_tui.widgets.counts import Counts, counts_of
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.funnel import Funnel, Stage
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.recent import recent_rows
from so8t_tui.widgets.rows import Cell, Row, Rows

_COUNTED: Mapping[str, tuple[str, ...]] = {
    "dropped": ("dropped", "dropped_by_reason"),
    "personal": ("personal_data", "personal_data_masked"),
    "labels": ("labels",),
    "duplicates": ("duplicates",),
}
_KNOWN = frozenset(
    {
        *("duplicates_exact", "duplicates_near", "documents_per_s", "kept"),
        *("documents_kept", "documents_dropped", "documents_in"),
        *(key for keys in _COUNTED.values() for key in keys),
    }
)
_TEXT_LIMIT = 400


class Cleanse(Panel):
    """Funnel and drops above; personal data, labels, duplicates and samples below."""

    def compose(self) -> ComposeResult:
        words = self.words
        with Horizontal(classes="upper"):
            yield Funnel(words("Funnel"), words("Starts when the crawl is done."), id_="funnel")
            yield Counts(
                words("Dropped, by reason"), words("Each drop has its reason."), id_="dropped"
            )
            yield Facts(words("Progress"), words("Starts when the crawl is done."), id_="figures")
        with Horizontal(classes="lower"):
            yield Counts(words("Personal data masked"), words("None so far."), id_="personal")
            yield Counts(words("Safety labels"), words("None so far."), id_="labels")
            yield Counts(words("Duplicates"), words("None so far."), id_="duplicates")
        yield Rows(
            words("Samples, before and after"), words("Documents appear here."), id_="samples"
        )

    def show(self, scene: Scene) -> None:
        view = scene.seen.state.phases["cleanse"]
        self.query_one(Funnel).put(self._funnel(view))
        self.query_one("#figures", Facts).put(self._figures(view))
        for name, keys in _COUNTED.items():
            self.query_one(f"#{name}", Counts).put(counts_of(_counters(view, *keys), self.words))
        if "duplicates_exact" in view.figures:
            pairs = {kind: view.figures.get(f"duplicates_{kind}") for kind in ("exact", "near")}
            self.query_one("#duplicates", Counts).put(counts_of(pairs, self.words))
        samples = self.query_one("#samples", Rows)
        samples.put(tuple(row for item in reversed(view.items) for row in self._sample(item)))
        samples.display = bool(view.items)

    def _funnel(self, view: PhaseView) -> tuple[Stage, ...]:
        words = self.words
        kept = _kept(view)
        if kept is None:
            return ()
        drops = counts_of(_counters(view, *_COUNTED["dropped"]), self.words)
        left = kept + sum(count for _, count in drops)
        stages = [Stage(words("documents"), left)]
        for name, count in drops:
            left -= count
            stages.append(Stage(name, left, count))
        return (*stages, Stage(words("kept"), kept, style="$good"))

    def _figures(self, view: PhaseView) -> tuple[Fact, ...]:
        words = self.words
        facts: list[Fact] = []
        if view.done or view.total:
            of = f" / {number(view.total)}" if view.total else ""
            facts.append(Fact(words("progress"), number(view.done) + of))
        speed = view.stats.get("documents_per_s")
        if isinstance(speed, int | float):
            facts.append(Fact(words("speed"), rate(speed, words("documents"))))
        kept = _kept(view)
        drops = sum(
            count for _, count in counts_of(_counters(view, *_COUNTED["dropped"]), self.words)
        )
        if kept is not None:
            facts.append(Fact(words("kept"), _share(kept, kept + drops), "bold $good"))
        return (*facts, *self.facts_from(view.figures or view.stats, _KNOWN))

    def _sample(self, item: Item) -> Iterator[Row]:
        """A document as it came and as it is kept; other items as one line."""
        if not {"before", "after"} <= item.fields.keys():
            yield from recent_rows((item,))
            return
        yield (Cell(outside(item.text, _TEXT_LIMIT), "$ink"),)
        for sign, key, style in (("-", "before", "$faint"), ("+", "after", "$soft")):
            yield (Cell(f"  {sign} {outside(item.fields[key], _TEXT_LIMIT)}", style),)


def _counters(view: PhaseView, *keys: str) -> Mapping[str, Any]:
    """Counters by name: the manifest's, where it is there, else what the phase says now."""
    for values in (view.figures, view.stats):
        for key in keys:
            if isinstance(found := values.get(key), Mapping):
                return found
    return {}


def _kept(view: PhaseView) -> float | None:
    """How many documents are kept, from the same places; None before any was judged."""
    for values in (view.figures, view.stats):
        for key in ("documents_kept", "kept"):
            if isinstance(found := values.get(key), int | float):
                return found
    return None


def _share(part: float, whole: float) -> str:
    share = share_of(part, whole)
    return number(part) if share is None else f"{number(part)}  {share:.0%}"

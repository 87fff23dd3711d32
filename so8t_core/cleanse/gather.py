"""All pages together: duplicates, groups, splits, and the rows of every data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from so8t_core.cleanse.dedup import (
    Clusters,
    exact_key,
    near_duplicates,
    read_signatures,
    shingles,
)
from so8t_core.cleanse.document import Document, Drop, Judged, Pair, identifier
from so8t_core.cleanse.earlier import EarlierText
from so8t_core.cleanse.instruct import LEAD_RULE, cut_at_paragraph
from so8t_core.cleanse.passages import PassageIndex
from so8t_core.cleanse.quality import PRESETS, TOO_SHORT, reject
from so8t_core.cleanse.refusals import refusal
from so8t_core.cleanse.split import Group, Split, Text, assign, settle_border
from so8t_core.cleanse.tables import CorpusRow, InstructionRow, SafetyRow, ThinkingRow
from so8t_core.contract.files import sha256_text
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import CleanseSettings

_SHINGLES_HELD = 4096


@dataclass(frozen=True)
class Item:
    """A text that is compared: a page's (`pair` None) or one of its pairs'."""

    page: int
    pair: Pair | None
    text: str
    signature: str


@dataclass
class Gathered:
    """The rows of every data set with the split of each group, and what was left out."""

    corpus: list[CorpusRow] = field(default_factory=list)
    instruction: list[InstructionRow] = field(default_factory=list)
    safety: list[SafetyRow] = field(default_factory=list)
    thinking: list[ThinkingRow] = field(default_factory=list)
    split_of: dict[str, Split] = field(default_factory=dict)
    page_drops: list[Drop] = field(default_factory=list)
    pair_drops: list[Drop] = field(default_factory=list)
    passages: list[Drop] = field(default_factory=list)
    border_moves: tuple[str, ...] = ()


def items_of(pages: Sequence[Judged]) -> list[Item]:
    """Every text of the pages, in their order: a page's own before its pairs'."""
    items: list[Item] = []
    for number, page in enumerate(pages):
        if page.signature:
            items.append(Item(number, None, page.document.text, page.signature))
        items += [
            Item(number, pair, pair.text, signature)
            for pair, signature in zip(page.document.pairs, page.pair_signatures, strict=True)
        ]
    return items


def cluster(
    items: Sequence[Item | EarlierText], settings: CleanseSettings, tick: Callable[[], None]
) -> Clusters:
    """Clusters of exact and near duplicates among the items."""

    @lru_cache(_SHINGLES_HELD)
    def shingles_of(place: int) -> frozenset[str]:
        return shingles(items[place].text)

    signatures = read_signatures(
        [item.signature for item in items], settings.minhash_bands * settings.minhash_rows
    )
    clusters = near_duplicates(
        signatures, settings.minhash_bands, settings.near_duplicate_jaccard, shingles_of, tick
    )
    first: dict[str, int] = {}
    for place, item in enumerate(items):
        tick()
        key = item.exact if isinstance(item, EarlierText) else exact_key(item.text)
        clusters.join(first.setdefault(key, place), place)
    return clusters


def gather(
    pages: Sequence[Judged],
    settings: CleanseSettings,
    seed: int,
    tick: Callable[[], None],
    earlier: Sequence[EarlierText] = (),
) -> Gathered:
    """Settle what enters which data set and which split.

    `pages` must be sorted by URL: of duplicates the first one stays. `tick` is called often.
    """
    result = Gathered()
    items = items_of(pages)
    group_of = _groups(pages, items, settings, tick)
    gone = _drop_duplicate_pages(pages, items, settings, tick, result)
    gone |= _drop_known_pages(pages, items, earlier, gone, settings, tick, result)
    pages = _cut_passages(pages, gone, settings, tick, result)
    pairs = _unique_pairs(pages, items, gone, settings, tick, result)
    for number, page in enumerate(pages):
        if number not in gone:
            _add_page(page, pairs.get(number, []), group_of[number], settings, result)
    _add_harmless(result, settings, seed)
    _split(result, settings, seed, tick)
    return result


def _groups(
    pages: Sequence[Judged],
    items: Sequence[Item],
    settings: CleanseSettings,
    tick: Callable[[], None],
) -> list[str]:
    """The group of each page: pages connected by any near-duplicate text of theirs."""
    clusters = cluster(items, settings, tick)
    connected = Clusters(len(pages))
    for place, item in enumerate(items):
        connected.join(items[clusters.find(place)].page, item.page)
    return [pages[connected.find(number)].document.id for number in range(len(pages))]


def _drop_duplicate_pages(
    pages: Sequence[Judged],
    items: Sequence[Item],
    settings: CleanseSettings,
    tick: Callable[[], None],
    result: Gathered,
) -> set[int]:
    """Pages whose text another one represents, or that a flagged page nearly equals."""
    own = [item for item in items if item.pair is None]
    clusters = cluster(own, settings, tick)
    members: dict[int, list[Item]] = {}
    for place, item in enumerate(own):
        members.setdefault(clusters.find(place), []).append(item)
    gone: set[int] = set()
    for cluster_items in members.values():
        flagged = [item for item in cluster_items if pages[item.page].fate == "flagged"]
        first = (flagged or cluster_items)[0]
        keys = {exact_key(first.text)}
        for item in cluster_items:
            if item.page == first.page:
                continue
            key = exact_key(item.text)
            reason = "exact_duplicate" if key in keys else "near_duplicate"
            keys.add(key)
            if pages[item.page].fate == "flagged":
                reason = f"flagged_{reason}"
            elif flagged:
                reason = "duplicate_of_flagged"
            gone.add(item.page)
            result.page_drops.append(
                _drop(pages[item.page].document, "duplicates", reason, pages[first.page])
            )
    return gone


def _drop_known_pages(
    pages: Sequence[Judged],
    items: Sequence[Item],
    earlier: Sequence[EarlierText],
    gone: set[int],
    settings: CleanseSettings,
    tick: Callable[[], None],
    result: Gathered,
) -> set[int]:
    """Pages that an earlier run has."""
    if not earlier:
        return set()
    own = [item for item in items if item.pair is None and item.page not in gone]
    both: list[Item | EarlierText] = [*earlier, *own]
    clusters = cluster(both, settings, tick)
    known: set[int] = set()
    for place, item in enumerate(own, start=len(earlier)):
        first = clusters.find(place)
        if first < len(earlier) and pages[item.page].fate == "keep":
            known.add(item.page)
            document = pages[item.page].document
            result.page_drops.append(
                Drop(
                    id=document.id,
                    url=document.url,
                    step="duplicates",
                    reason="in_earlier_run",
                    detail=f"of {earlier[first].id}",
                )
            )
    return known


def _cut_passages(
    pages: Sequence[Judged],
    gone: set[int],
    settings: CleanseSettings,
    tick: Callable[[], None],
    result: Gathered,
) -> Sequence[Judged]:
    """The pages without long passages of earlier ones; one that hardly anything is left of goes."""
    if not settings.min_repeated_passage:
        return pages
    index = PassageIndex(settings.min_repeated_passage)
    kept = list(pages)
    for number, page in enumerate(pages):
        tick()
        if number in gone or page.fate != "keep":
            continue
        document = page.document
        text, cut = index.cut(document.text)
        if not cut:
            continue
        told = {"id": document.id, "url": document.url, "step": "passages"}
        detail = f"{cut} characters cut"
        if reject(text, PRESETS[settings.quality_preset]) == TOO_SHORT:
            gone.add(number)
            result.page_drops.append(Drop(**told, reason="passages_elsewhere", detail=detail))
            continue
        result.passages.append(Drop(**told, reason="repeated_passage", detail=detail))
        kept[number] = page.model_copy(
            update={"document": document.model_copy(update={"text": text})}
        )
    return kept


def _drop(document: Document, step: str, reason: str, kept: Judged) -> Drop:
    detail = f"of {kept.document.id}"
    return Drop(id=document.id, url=document.url, step=step, reason=reason, detail=detail)


def _unique_pairs(
    pages: Sequence[Judged],
    items: Sequence[Item],
    gone: set[int],
    settings: CleanseSettings,
    tick: Callable[[], None],
    result: Gathered,
) -> dict[int, list[Pair]]:
    """The pairs of pages that stay, near-duplicates represented by the first."""
    own = [item for item in items if item.pair is not None and item.page not in gone]
    clusters = cluster(own, settings, tick)
    found: dict[int, list[Pair]] = {}
    for place, item in enumerate(own):
        assert item.pair is not None
        first = clusters.find(place)
        if first == place:
            found.setdefault(item.page, []).append(item.pair)
            continue
        same = exact_key(own[first].text) == exact_key(item.text)
        drop = _drop(
            pages[item.page].document,
            "pair_duplicates",
            "exact_duplicate" if same else "near_duplicate",
            pages[own[first].page],
        )
        result.pair_drops.append(drop.model_copy(update={"id": item.pair.id}))
    return found


def _add_page(
    page: Judged, pairs: Iterable[Pair], group: str, settings: CleanseSettings, result: Gathered
) -> None:
    document = page.document
    licence = document.licence.id or "unknown"
    if page.fate == "keep":
        result.corpus.append(
            CorpusRow(
                id=document.id,
                url=document.url,
                host=document.host,
                title=document.title,
                text=document.text,
                licence=licence,
                group=group,
            )
        )
    result.instruction += [
        InstructionRow(
            id=pair.id,
            instruction=pair.instruction,
            input=pair.input,
            output=pair.output,
            rule=pair.rule,
            url=document.url,
            host=document.host,
            licence=licence,
            group=group,
        )
        for pair in pairs
    ]
    for flag in page.flags:
        row_id = identifier(document.id, flag.text)
        text = flag.text or cut_at_paragraph(document.text, settings.max_safety_characters)
        result.safety.append(
            SafetyRow(
                id=row_id,
                text=text,
                label=flag.label.value,
                categories=list(flag.categories),
                response=refusal(flag.label, row_id),
                url=document.url,
                group=group,
            )
        )


def _add_harmless(result: Gathered, settings: CleanseSettings, seed: int) -> None:
    """Harmless passages beside the flagged ones, so that refusing everything is no solution."""
    wanted = round(settings.allow_per_flagged * len(result.safety))
    chosen = sorted(result.corpus, key=lambda row: sha256_text(f"{seed}\n{row.id}"))[:wanted]
    result.safety += [
        SafetyRow(
            id=identifier(row.id, SafetyLabel.ALLOW.value),
            text=cut_at_paragraph(row.text, settings.max_safety_characters),
            label=SafetyLabel.ALLOW.value,
            categories=[],
            response="",
            url=row.url,
            group=row.group,
        )
        for row in chosen
    ]


def _split(
    result: Gathered, settings: CleanseSettings, seed: int, tick: Callable[[], None]
) -> None:
    """Assign the groups, then move what would leak."""
    pages: dict[str, set[str]] = {}
    rows: list[CorpusRow | InstructionRow | SafetyRow] = [
        *result.corpus,
        *result.instruction,
        *result.safety,
    ]
    for row in rows:
        pages.setdefault(row.group, set()).add(row.url)
    flagged = {row.group for row in result.safety if row.label != SafetyLabel.ALLOW}
    asked = {row.group for row in result.instruction if row.rule != LEAD_RULE}
    groups = [
        Group(
            name,
            "flagged" if name in flagged else "asked" if name in asked else "prose",
            len(urls),
        )
        for name, urls in sorted(pages.items())
    ]
    result.split_of = assign(groups, seed, settings.validation_share, settings.test_share)
    texts = [Text(row.group, row.text) for row in result.corpus]
    texts += [Text(row.group, row.comparable_text) for row in result.instruction]
    texts += [Text(row.group, row.text) for row in result.safety]
    result.border_moves = settle_border(
        texts, result.split_of, settings.near_duplicate_jaccard, tick
    )

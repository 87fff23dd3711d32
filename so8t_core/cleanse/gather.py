"""All pages together: duplicates, groups, splits, and the rows of every data set.

Nothing here holds the texts of all pages: decisions are arrays by the numbers of pages and texts
(see `catalogue.py`), texts are read where they are needed, and rows are made when they are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.border import Border, Wanted, settle_border
from so8t_core.cleanse.catalogue import Catalogue
from so8t_core.cleanse.dedup import Clusters, exact_key, near_duplicates
from so8t_core.cleanse.document import Document, Drop
from so8t_core.cleanse.earlier import EarlierTexts
from so8t_core.cleanse.ngrams import Places
from so8t_core.cleanse.passages import PassageIndex, cut
from so8t_core.cleanse.quality import PRESETS, TOO_SHORT, reject
from so8t_core.cleanse.rows import Chosen, PageRows, rows_of
from so8t_core.cleanse.split import SPLITS, Assigned, Groups, Split, assign, seeded_keys
from so8t_core.cleanse.text_store import TextStore
from so8t_core.contract.settings.cleanse import CleanseSettings

Mask = npt.NDArray[np.bool_]
_PROSE, _ASKED, _FLAGGED = range(3)


@dataclass
class Gathered:
    """What was decided of every page and every text, and the rows that come of it."""

    catalogue: Catalogue
    settings: CleanseSettings
    group_of: Places
    """The page that names each page's group."""
    gone: Mask
    kept_items: Mask
    harmless: Mask
    splits: Assigned
    """The split of each group, by the page that names it."""
    shorter: npt.NDArray[np.int32]
    """Where each page's text without repeated passages is; -1 for a page that keeps its own."""
    shorter_texts: TextStore
    page_drops: Counter[str] = field(default_factory=Counter)
    pair_drops: Counter[str] = field(default_factory=Counter)
    passages: int = 0
    groups: int = 0
    border_moves: int = 0

    @property
    def empty(self) -> bool:
        """Whether no page became part of the corpus."""
        return not (self.catalogue.with_fate("keep") & ~self.gone).any()

    def rows_by_page(self) -> Iterator[tuple[int, Split, PageRows]]:
        """Number, split and rows of each page that stays, by URL."""
        for number in np.flatnonzero(~self.gone).tolist():
            group = int(self.group_of[number])
            yield number, SPLITS[self.splits[group]], self._rows_of(number, group)

    def texts(self, wanted: Wanted) -> Iterator[tuple[int, str]]:
        """Group and text of every row, of the wanted groups alone."""
        for number in np.flatnonzero(~self.gone).tolist():
            group = int(self.group_of[number])
            if wanted(group):
                for text in self._rows_of(number, group).texts():
                    yield group, text

    def _rows_of(self, number: int, group: int) -> PageRows:
        page = self.catalogue.page(number)
        pairs = [pair for item, pair in self.catalogue.pairs(number, page) if self.kept_items[item]]
        cut_to = int(self.shorter[number])
        text = page.document.text if cut_to < 0 else self.shorter_texts[cut_to]
        name = self.catalogue.id(group)
        chosen = Chosen(text, pairs, name, bool(self.harmless[number]))
        return rows_of(page, chosen, self.settings)


def gather(
    catalogue: Catalogue,
    settings: CleanseSettings,
    seed: int,
    scratch: Path,
    note: Callable[[Drop], None],
    tick: Callable[[], None],
    earlier: EarlierTexts | None = None,
) -> Gathered:
    """Settle what enters which data set and which split.

    Of duplicates the page that stands first stays. `note` is told every drop, `tick` is called
    often, `scratch` is a folder for what does not fit in memory.
    """
    return _Gathering(catalogue, settings, seed, scratch, note, tick, earlier).run()


@dataclass
class _Gathering:
    catalogue: Catalogue
    settings: CleanseSettings
    seed: int
    scratch: Path
    note: Callable[[Drop], None]
    tick: Callable[[], None]
    earlier: EarlierTexts | None

    def run(self) -> Gathered:
        pages, items = len(self.catalogue), len(self.catalogue.pages_of_items)
        self.result = Gathered(
            catalogue=self.catalogue,
            settings=self.settings,
            group_of=self._groups(),
            gone=self.catalogue.with_fate("drop").copy(),
            kept_items=np.zeros(items, dtype=np.bool_),
            harmless=np.zeros(pages, dtype=np.bool_),
            splits=np.zeros(pages, dtype=np.uint8),
            shorter=np.full(pages, -1, dtype=np.int32),
            shorter_texts=TextStore(self.scratch / "shorter.bin"),
        )
        self._drop_duplicate_pages()
        self._drop_known_pages()
        if self.settings.min_repeated_passage:
            self._cut_passages()
        self._choose_pairs()
        self._choose_harmless()
        self._split()
        return self.result

    def _clusters(self, members: Places) -> Clusters:
        """Clusters of exact and near duplicates among texts, by their positions in `members`."""
        items, settings = self.catalogue.items, self.settings
        clusters = near_duplicates(
            items.signatures(),
            members,
            settings.minhash_bands,
            settings.near_duplicate_jaccard,
            items.shingles,
            self.tick,
        )
        for group in items.equal_ones(members):
            self.tick()
            for position in group[1:].tolist():
                clusters.join(int(group[0]), position)
        return clusters

    def _groups(self) -> Places:
        """The group of each page: pages connected by any near-duplicate text of theirs."""
        page_of = self.catalogue.pages_of_items
        names = self._clusters(np.arange(len(page_of))).names()
        connected = Clusters(len(self.catalogue))
        for item in np.flatnonzero(names != np.arange(len(names))).tolist():
            connected.join(int(page_of[names[item]]), int(page_of[item]))
        return connected.names()

    def _drop_duplicate_pages(self) -> None:
        """Pages whose text another one represents, or that a flagged page nearly equals."""
        members = np.flatnonzero(self.catalogue.own_items)
        names = self._clusters(members).names()
        order = np.argsort(names, kind="stable")
        borders = np.flatnonzero(np.append(np.diff(names[order]) != 0, True)) + 1
        starts = np.append(0, borders[:-1])
        for cluster in np.flatnonzero(borders - starts > 1).tolist():
            self.tick()
            self._drop_cluster(members[order[starts[cluster] : borders[cluster]]].tolist())

    def _drop_cluster(self, items: Sequence[int]) -> None:
        """All pages of a cluster but the first flagged one, or else the first."""
        catalogue = self.catalogue
        flagged = [item for item in items if catalogue.fate(catalogue.page_of(item)) == "flagged"]
        first = (flagged or items)[0]
        keys = {exact_key(catalogue.items.text(first))}
        for item in items:
            page = catalogue.page_of(item)
            if item == first:
                continue
            key = exact_key(catalogue.items.text(item))
            reason = "exact_duplicate" if key in keys else "near_duplicate"
            keys.add(key)
            if catalogue.fate(page) == "flagged":
                reason = f"flagged_{reason}"
            elif flagged:
                reason = "duplicate_of_flagged"
            kept = catalogue.id(catalogue.page_of(first))
            self._drop_page(page, "duplicates", reason, f"of {kept}")

    def _drop_page(self, number: int, step: str, reason: str, detail: str) -> None:
        document = self.catalogue.page(number).document
        self.result.gone[number] = True
        self.result.page_drops[reason] += 1
        self.note(Drop(id=document.id, url=document.url, step=step, reason=reason, detail=detail))

    def _drop_known_pages(self) -> None:
        """Pages that an earlier run has."""
        if self.earlier is None:
            return
        pages_of = self.catalogue.pages_of_items
        own = np.flatnonzero(self.catalogue.own_items & ~self.result.gone[pages_of])
        known = self.earlier.add_to(self.catalogue.items, self.tick)
        names = self._clusters(np.concatenate((known, own))).names()
        for position, item in enumerate(own.tolist(), start=len(known)):
            page = self.catalogue.page_of(item)
            first = int(names[position])
            if first < len(known) and self.catalogue.fate(page) == "keep":
                self._drop_page(
                    page, "duplicates", "in_earlier_run", f"of {self.earlier.id(first)}"
                )

    def _kept_pages(self) -> list[int]:
        kept: list[int] = np.flatnonzero(
            self.catalogue.with_fate("keep") & ~self.result.gone
        ).tolist()
        return kept

    def _cut_passages(self) -> None:
        """Cut long passages of earlier pages; a page that hardly anything is left of goes."""
        index = PassageIndex(self.scratch)
        for number in self._kept_pages():
            self.tick()
            index.add(number, self.catalogue.page(number).document.text)
        for number, shared in index.shared():
            self.tick()
            document = self.catalogue.page(number).document
            text, characters = cut(
                document.text, shared, self._text_of_page, self.settings.min_repeated_passage
            )
            if characters:
                self._shorten(number, document, text, f"{characters} characters cut")

    def _text_of_page(self, number: int) -> str:
        return self.catalogue.page(number).document.text

    def _shorten(self, number: int, document: Document, text: str, detail: str) -> None:
        if reject(text, PRESETS[self.settings.quality_preset]) == TOO_SHORT:
            self._drop_page(number, "passages", "passages_elsewhere", detail)
            return
        self.result.passages += 1
        self.result.shorter[number] = self.result.shorter_texts.add(text)
        told = {"id": document.id, "url": document.url, "step": "passages"}
        self.note(Drop(**told, reason="repeated_passage", detail=detail))

    def _choose_pairs(self) -> None:
        """Of the pairs of pages that stay, those that stand for their near-duplicates."""
        catalogue = self.catalogue
        own = catalogue.own_items
        members = np.flatnonzero(~own & ~self.result.gone[catalogue.pages_of_items])
        names = self._clusters(members).names()
        positions = np.arange(len(members))
        self.result.kept_items[members[names == positions]] = True
        for position in np.flatnonzero(names != positions).tolist():
            self.tick()
            self._drop_pair(int(members[position]), int(members[names[position]]))

    def _drop_pair(self, item: int, first: int) -> None:
        catalogue = self.catalogue
        number = catalogue.page_of(item)
        page = catalogue.page(number)
        texts = catalogue.items
        same = exact_key(texts.text(first)) == exact_key(texts.text(item))
        reason = "exact_duplicate" if same else "near_duplicate"
        pair = dict(catalogue.pairs(number, page))[item]
        step, kept = "pair_duplicates", catalogue.id(catalogue.page_of(first))
        self.result.pair_drops[f"{step}:{reason}"] += 1
        self.note(
            Drop(id=pair.id, url=page.document.url, step=step, reason=reason, detail=f"of {kept}")
        )

    def _choose_harmless(self) -> None:
        """Harmless passages beside the flagged ones, so that refusing everything is no solution."""
        flagged = int(self.catalogue.flags[~self.result.gone].sum())
        kept = np.array(self._kept_pages(), dtype=np.int64)
        ids = self.catalogue.ids[kept]
        wanted = round(self.settings.allow_per_flagged * flagged)
        order = np.lexsort((ids, seeded_keys(ids, self.seed)))
        self.result.harmless[kept[order[:wanted]]] = True

    def _split(self) -> None:
        """Assign the groups, then move what would leak."""
        numbers, groups = self._groups_with_rows()
        result, settings = self.result, self.settings
        result.splits[numbers] = assign(
            groups, self.seed, settings.validation_share, settings.test_share
        )
        result.groups = len(groups)
        threshold = settings.near_duplicate_jaccard
        border = Border(result.texts, result.splits, self.catalogue.ids, threshold, self.scratch)
        result.border_moves = len(settle_border(border, self.tick))

    def _groups_with_rows(self) -> tuple[Places, Groups]:
        """The groups that any row comes of, by the pages that name them."""
        catalogue, result = self.catalogue, self.result
        page_of, group_of = catalogue.pages_of_items, result.group_of
        asking = np.zeros(len(catalogue), dtype=np.bool_)
        asking[page_of[result.kept_items & ~catalogue.lead_items]] = True
        paired = np.zeros(len(catalogue), dtype=np.bool_)
        paired[page_of[result.kept_items]] = True
        flagged = (catalogue.flags > 0) & ~result.gone
        shown = (catalogue.with_fate("keep") & ~result.gone) | paired | flagged
        strata = np.full(len(catalogue), _PROSE, dtype=np.uint8)
        strata[group_of[asking]] = _ASKED
        strata[group_of[flagged]] = _FLAGGED
        urls = np.unique(np.stack((group_of[shown], catalogue.url_numbers[shown]), axis=1), axis=0)
        numbers, pages = np.unique(urls[:, 0], return_counts=True)
        return numbers, Groups(catalogue.ids[numbers], strata[numbers], pages)

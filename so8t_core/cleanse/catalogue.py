"""All judged pages in the order of their URLs: where each stands on disk, and what is counted.

Pages are numbered in that order, so that of duplicates the one with the smallest number stays. The
texts stay in the shards; memory holds some 50 bytes a page, and what `Items` holds of its texts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.document import Fate, Judged, Pair
from so8t_core.cleanse.instruct import LEAD_RULE
from so8t_core.cleanse.items import Items
from so8t_core.cleanse.ngrams import Places
from so8t_core.cleanse.shards import judged_with_places, masked_counts
from so8t_core.cleanse.sorting import Sorter
from so8t_core.cleanse.text_store import Stretch

_FATES: tuple[Fate, ...] = ("keep", "pairs_only", "flagged", "drop")
_FILES_OPEN = 32


@dataclass(frozen=True)
class ShardPair:
    """A shard of both passes."""

    prepared: Path
    judged: Path


class Catalogue:
    """What is known of every page and of every text on it.

    A page's texts are its own, where it has a signature, and then its pairs'; they are numbered
    through in the order of pages.
    """

    def __init__(self, shards: Sequence[ShardPair], items: Items) -> None:
        self.items = items
        self._shards = shards
        self._open: dict[int, Stretch] = {}
        self._shard_of, self._place_of, self._size_of = array("I"), array("Q"), array("I")
        self._ids, self._fates, self._urls = array("Q"), array("B"), array("I")
        self._flags, self._first_item = array("I"), array("Q", [0])
        self._masked = array("Q")  # by number of the URL
        self._own, self._lead, self._page_of = array("B"), array("B"), array("I")

    def __len__(self) -> int:
        return len(self._ids)

    @classmethod
    def of(
        cls, shards: Sequence[ShardPair], items: Items, scratch: Path, tick: Callable[[], None]
    ) -> Catalogue:
        """Read all shards: once to learn the order, once in that order."""
        order = Sorter(scratch, "pages")
        for number, shard in enumerate(shards):
            masks, lines = masked_counts(shard.prepared), judged_with_places(shard.judged)
            for (place, size, page), masked in zip(lines, masks, strict=True):
                tick()
                order.add(page.document.url, page.document.id, number, place, size, masked)
        found = cls(shards, items)
        previous = None
        for url, _, number, place, size, masked in order:
            tick()
            found._add(number, place, size, new_url=url != previous)
            found._masked[-1] += masked
            previous = url
        return found

    def _add(self, shard: int, place: int, size: int, *, new_url: bool) -> None:
        number = len(self)
        if new_url:
            self._masked.append(0)
        self._shard_of.append(shard)
        self._place_of.append(place)
        self._size_of.append(size)
        page = self.page(number)
        self._ids.append(int(page.document.id, 16))
        self._fates.append(_FATES.index(page.fate))
        self._urls.append(len(self._masked) - 1)
        self._flags.append(len(page.flags))
        if page.signature:
            self._add_text(number, page.document.text, page.signature, None)
        for pair, signature in zip(page.document.pairs, page.pair_signatures, strict=True):
            self._add_text(number, pair.text, signature, pair)
        self._first_item.append(len(self._page_of))

    def _add_text(self, page: int, text: str, signature: str, pair: Pair | None) -> None:
        self.items.add(text, signature)
        self._page_of.append(page)
        self._own.append(pair is None)
        self._lead.append(pair is not None and pair.rule == LEAD_RULE)

    def _file(self, shard: int) -> Stretch:
        """The file of a shard; the few that were used last stay open."""
        file = self._open.pop(shard, None) or Stretch(self._shards[shard].judged)
        if len(self._open) >= _FILES_OPEN:
            del self._open[next(iter(self._open))]
        self._open[shard] = file
        return file

    def page(self, number: int) -> Judged:
        """A page, from its shard."""
        file = self._file(self._shard_of[number])
        line = file.read(self._place_of[number], self._size_of[number])
        return Judged.model_validate_json(line)

    def pairs(self, number: int, page: Judged) -> Iterator[tuple[int, Pair]]:
        """The pairs of a page with the numbers of their texts."""
        first = self._first_item[number] + bool(page.signature)
        return zip(range(first, self._first_item[number + 1]), page.document.pairs, strict=True)

    def id(self, number: int) -> str:
        """The id of a page."""
        return f"{self._ids[number]:016x}"

    def fate(self, number: int) -> Fate:
        """What became of a page in the second pass."""
        return _FATES[self._fates[number]]

    def masked(self, number: int) -> int:
        """Values masked on all pages of a page's URL."""
        return self._masked[self._urls[number]]

    def page_of(self, item: int) -> int:
        """The page that a text stands on."""
        return self._page_of[item]

    @property
    def ids(self) -> npt.NDArray[np.uint64]:
        """The ids of all pages, as numbers."""
        return np.frombuffer(self._ids, dtype=np.uint64)

    @property
    def url_numbers(self) -> Places:
        """The number of each page's URL; pages of equal URLs are neighbours."""
        return np.frombuffer(self._urls, dtype=np.uint32).astype(np.int64)

    @property
    def flags(self) -> Places:
        """How many flagged passages each page has."""
        return np.frombuffer(self._flags, dtype=np.uint32).astype(np.int64)

    def with_fate(self, fate: Fate) -> npt.NDArray[np.bool_]:
        """Which pages have this fate."""
        fates = np.frombuffer(self._fates, dtype=np.uint8)
        return np.asarray(fates == _FATES.index(fate), dtype=np.bool_)

    @property
    def pages_of_items(self) -> Places:
        """The page of each text."""
        return np.frombuffer(self._page_of, dtype=np.uint32).astype(np.int64)

    @property
    def own_items(self) -> npt.NDArray[np.bool_]:
        """Which texts are a page's own."""
        return np.frombuffer(self._own, dtype=np.bool_)

    @property
    def lead_items(self) -> npt.NDArray[np.bool_]:
        """Which texts are pairs made of title and lead."""
        return np.frombuffer(self._lead, dtype=np.bool_)

"""The exact check at the border of the split: no near-duplicate is left on both sides of it.

An inverted index over the rarest shingles of the held-out texts (prefix filter: Chaudhuri et al.
2006, Bayardo et al. 2007), joined with all texts in blocks that fit in memory. Texts are asked for
with all their shingles, so that the number of shared ones bounds the similarity (compare the
positional filter of Xiao et al. 2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.dedup import Shingles, jaccard, shingles
from so8t_core.cleanse.ngrams import Places
from so8t_core.cleanse.split import TRAIN, Assigned
from so8t_core.cleanse.text_store import TextStore

_BLOCK_RECORDS = 2_000_000
_COUNTERS = 1 << 22
_WORD = np.uint64(_COUNTERS - 1)
_SHIFT = np.uint64(40)

Wanted = Callable[[int], bool]
Texts = Callable[[Wanted], Iterable[tuple[int, str]]]
"""All texts of the groups that are wanted, each with its group; asked for again and again."""


@dataclass(frozen=True)
class Border:
    """What is checked: the texts, the splits of groups by their numbers, and the groups' names."""

    texts: Texts
    splits: Assigned
    names: npt.NDArray[np.uint64]
    threshold: float
    scratch: Path

    def is_held_out(self, group: int) -> bool:
        """Whether the group is in another split than train."""
        return bool(self.splits[group] != TRAIN)

    def mover(self, left: int, right: int) -> int:
        """Which of two groups of different splits goes to train."""
        if not self.is_held_out(left):
            return right
        if not self.is_held_out(right):
            return left
        return left if self.names[left] > self.names[right] else right


class _Rarity:
    """How often shingles occur in the held-out texts: counters that several shingles may share.

    Any order of shingles makes the prefix filter exact; a good one makes it fast.
    """

    def __init__(self) -> None:
        self._counters = np.zeros(_COUNTERS, dtype=np.uint32)

    def count(self, grams: Shingles) -> None:
        np.add.at(self._counters, self._slots(grams), 1)

    def _slots(self, grams: Shingles) -> Places:
        return ((grams ^ (grams >> _SHIFT)) & _WORD).astype(np.int64)

    def prefix(self, grams: Shingles, threshold: float) -> Shingles:
        """The rarest shingles, as many that a similar set must hold one of them."""
        length = len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1
        order = np.lexsort((grams, self._counters[self._slots(grams)]))
        return grams[order[:length]]


@dataclass
class _Block:
    """A part of the held-out texts, indexed by their prefixes."""

    groups: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    prefixes: list[Shingles] = field(default_factory=list)
    records: int = 0

    def add(self, group: int, number: int, size: int, prefix: Shingles) -> None:
        self.groups.append(group)
        self.numbers.append(number)
        self.sizes.append(size)
        self.prefixes.append(prefix)
        self.records += len(prefix)

    def seal(self) -> None:
        """Sort the index; nothing is added any more."""
        lengths = np.array(list(map(len, self.prefixes)), dtype=np.int64)
        owners = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        keys = np.concatenate(self.prefixes)
        order = np.argsort(keys, kind="stable")
        self._keys, self._owners = keys[order], owners[order]
        self._groups = np.array(self.groups, dtype=np.int64)
        self._sizes = np.array(self.sizes, dtype=np.int64)
        self._lefts = self._sizes - lengths
        self.prefixes = []

    def candidates(self, grams: Shingles, group: int, border: Border) -> list[int]:
        """Members of other splits that may be as similar as that to a set of shingles.

        All shingles of a member are in its prefix or in what is left of it. So it shares at most as
        many as its prefix does, and all that are left; where that is less than two sets of these
        sizes must share, the member is none.
        """
        first = np.searchsorted(self._keys, grams, side="left")
        counts = np.searchsorted(self._keys, grams, side="right") - first
        hit = np.flatnonzero(counts)
        if not len(hit):
            return []
        spans = [self._owners[first[at] : first[at] + counts[at]] for at in hit.tolist()]
        members, shared = np.unique(np.concatenate(spans), return_counts=True)
        sizes = self._sizes[members]
        least = border.threshold / (1 + border.threshold) * (sizes + len(grams)) - 1e-9
        alike = shared + self._lefts[members] >= least
        crosses = border.splits[self._groups[members]] != border.splits[group]
        found: list[int] = members[alike & crosses].tolist()
        return found


def _blocks(
    border: Border, rarity: _Rarity, store: TextStore, tick: Callable[[], None]
) -> Iterator[_Block]:
    """The held-out texts, a part at a time."""
    block = _Block()
    for group, text in border.texts(border.is_held_out):
        tick()
        grams = shingles(text)
        block.add(group, store.add(text), len(grams), rarity.prefix(grams, border.threshold))
        if block.records >= _BLOCK_RECORDS:
            block.seal()
            yield block
            block = _Block()
    if block.records:
        block.seal()
        yield block


def crossing_groups(border: Border, probed: Wanted, tick: Callable[[], None]) -> set[int]:
    """Held-out groups with a text whose Jaccard index with one of another split reaches the limit.

    Only pairs with a text of a group that is `probed` are looked at. Of two held-out groups the one
    whose name is larger is given. Exact.
    """
    rarity = _Rarity()
    for _, text in border.texts(border.is_held_out):
        tick()
        rarity.count(shingles(text))
    found: set[int] = set()
    store = TextStore(border.scratch / "held_out.bin")
    for block in _blocks(border, rarity, store, tick):
        for group, text in border.texts(probed):
            tick()
            grams = shingles(text)
            for member in block.candidates(grams, group, border):
                mover = border.mover(group, block.groups[member])
                if mover in found:
                    continue
                if jaccard(grams, shingles(store[block.numbers[member]])) >= border.threshold:
                    found.add(mover)
    return found


def settle_border(border: Border, tick: Callable[[], None]) -> tuple[int, ...]:
    """Move groups to train until no near-duplicate is left across a border; the moved groups.

    Moving may bring a group next to another held-out one, hence again until nothing moves; from the
    second round on only the groups moved last can be part of such a pair.
    """
    moved: list[int] = []
    probed: Wanted = _any_group
    while found := crossing_groups(border, probed, tick):
        border.splits[list(found)] = TRAIN
        moved += sorted(found)
        probed = found.__contains__
    return tuple(moved)


def _any_group(_: int) -> bool:
    return True

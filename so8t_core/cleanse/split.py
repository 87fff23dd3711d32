"""Train, validation and test without a leak: whole groups, then an exact check at the border."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from so8t_core.cleanse.dedup import jaccard, shingles
from so8t_core.contract.files import sha256_text

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Group:
    """Pages that must stay together, and how many they are.

    `stratum` tells what they hold, so that each kind of data is represented in every split.
    """

    name: str
    stratum: str
    pages: int


def assign(groups: Sequence[Group], seed: int, validation: float, test: float) -> dict[str, Split]:
    """Give each group its split, in the order of a seeded hash of its name.

    A stratum of at least three groups gives at least one to each part with a share above zero.
    Groups larger than the part they would fill stay in train.
    """
    strata: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        strata[group.stratum].append(group)
    found: dict[str, Split] = {}
    for members in strata.values():
        members.sort(key=lambda group: (sha256_text(f"{seed}\n{group.name}"), group.name))
        found |= _fill(members, {"test": test, "validation": validation})
    return found


def _fill(members: Sequence[Group], shares: Mapping[Split, float]) -> dict[str, Split]:
    pages = sum(group.pages for group in members)
    found: dict[str, Split] = {group.name: "train" for group in members}
    if len(members) < 3:
        return found
    remaining = list(members)
    for split, share in shares.items():
        wanted = max(1, round(share * pages)) if share else 0
        taken = 0
        for group in list(remaining):
            if taken >= wanted:
                break
            if group.pages <= wanted - taken:
                found[group.name] = split
                taken += group.pages
                remaining.remove(group)
    return found


@dataclass(frozen=True)
class Text:
    """A text at the border check, and the group that it belongs to."""

    group: str
    text: str


def crossing_groups(
    texts: Sequence[Text],
    split_of: Mapping[str, Split],
    threshold: float,
    tick: Callable[[], None],
) -> set[str]:
    """Held-out groups with a text whose Jaccard index with one of another split reaches the limit.

    Exact: an inverted index over the prefixes of the held-out texts in order of rarity (Chaudhuri
    et al. 2006, Bayardo et al. 2007). Of two held-out groups the one whose name is larger is named.
    """
    held_out: list[tuple[str, frozenset[str]]] = []
    for text in texts:
        if split_of[text.group] != "train":
            held_out.append((text.group, shingles(text.text)))
            tick()
    frequency = Counter(shingle for _, grams in held_out for shingle in grams)
    postings: dict[str, list[int]] = defaultdict(list)
    for place, (_, grams) in enumerate(held_out):
        for shingle in _prefix(grams, frequency, threshold):
            postings[shingle].append(place)
    found: set[str] = set()
    for text in texts:
        tick()
        grams = shingles(text.text)
        rare = _prefix(grams, frequency, threshold)
        for place in {place for shingle in rare for place in postings.get(shingle, ())}:
            group, other = held_out[place]
            crosses = split_of[text.group] != split_of[group]
            shorter, longer = sorted((len(grams), len(other)))
            alike = shorter >= threshold * longer
            if crosses and alike and jaccard(grams, other) >= threshold:
                found.add(_mover(text.group, group, split_of))
    return found


def _mover(left: str, right: str, split_of: Mapping[str, Split]) -> str:
    if split_of[left] == "train":
        return right
    if split_of[right] == "train":
        return left
    return max(left, right)


def _prefix(grams: frozenset[str], frequency: Mapping[str, int], threshold: float) -> list[str]:
    """The rarest shingles, as many that two similar sets must share one of them."""
    length = len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1
    ordered = sorted(grams, key=lambda shingle: (frequency.get(shingle, 0), shingle))
    return ordered[:length]


def settle_border(
    texts: Sequence[Text],
    split_of: dict[str, Split],
    threshold: float,
    tick: Callable[[], None],
) -> tuple[str, ...]:
    """Move groups to train until no near-duplicate is left across a border; the moved groups.

    Moving may bring a group next to another held-out one, hence again until nothing moves.
    """
    moved: list[str] = []
    while found := crossing_groups(texts, split_of, threshold, tick):
        for group in sorted(found):
            split_of[group] = "train"
            moved.append(group)
    return tuple(moved)

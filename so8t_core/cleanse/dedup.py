"""Exact and near duplicates: MinHash over character 5-grams, candidates verified exactly."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from so8t_core.cleanse.ngrams import Hashes, Ngrams, Places
from so8t_core.cleanse.text import comparable
from so8t_core.contract.files import sha256_text

SHINGLE_CHARACTERS = 5
_MINHASH_SEED = 42  # part of the signature's format; the run's seed does not change duplicates

_ESTIMATE_MARGIN = 0.2  # more than five standard deviations of an estimate by 128 permutations

_NOTHING: Hashes = np.zeros(1, dtype=np.uint64)
_ALL_PAIRS = 256  # members of a bucket up to which every pair is looked at
_REFUSED_HELD = 200_000
_ONE = np.uint64(1)
_BAND_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_BAND_SHIFT = np.uint64(32)

Signatures = npt.NDArray[np.uint32]
Shingles = npt.NDArray[np.uint64]
"""The different character 5-grams of a text as sorted 64-bit hashes (see `ngrams.py`)."""


def shingles(text: str) -> Shingles:
    """The set of character 5-grams of the comparable text; a shorter text is one of its own."""
    return np.unique(_shingle_hashes(text))


def exact_key(text: str) -> str:
    """Equal for texts that differ in blanks, punctuation and width alone."""
    return sha256_text(comparable(text))


def jaccard(left: Shingles, right: Shingles) -> float:
    """Size of the intersection over that of the union, 0 to 1."""
    both = np.concatenate((left, right))
    both.sort()
    shared = int((both[1:] == both[:-1]).sum())
    return shared / (len(left) + len(right) - shared)


def sign(texts: Sequence[str], permutations: int) -> list[str]:
    """MinHash signatures as hexadecimal text, 8 digits a permutation (Broder 1997).

    Shingles are handed to rensa as 64-bit hashes in one buffer, not as Python strings.
    """
    rows = [_shingle_hashes(text) for text in texts]
    if not rows:
        return []
    starts = np.zeros(len(rows) + 1, dtype=np.uint64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    digests = RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(rows), starts, permutations, _MINHASH_SEED
    ).to_rows()
    return [np.asarray(digest, dtype=">u4").tobytes().hex() for digest in digests]


def _shingle_hashes(text: str) -> Hashes:
    """One hash for each shingle; a shorter text is one of its own."""
    key = comparable(text)
    ngrams = Ngrams(key)
    return ngrams.hashes(max(1, min(SHINGLE_CHARACTERS, len(key)))) if key else _NOTHING


def read_signatures(signatures: Sequence[str], permutations: int) -> Signatures:
    """The signatures as one array, shape (texts, permutations)."""
    raw = bytes.fromhex("".join(signatures))
    return np.frombuffer(raw, dtype=">u4").astype(np.uint32).reshape(-1, permutations)


class Clusters:
    """Disjoint sets over 0..size-1, each named by its smallest member; 8 bytes a member."""

    def __init__(self, size: int) -> None:
        self._parents = array("q", range(size))

    def find(self, member: int) -> int:
        """The smallest member of the set."""
        root = member
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[member] != root:
            self._parents[member], member = root, self._parents[member]
        return root

    def join(self, left: int, right: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.find(left), self.find(right)))
        self._parents[high] = low

    def names(self) -> Places:
        """The name of each member's set, in order."""
        for member in range(len(self._parents)):
            self._parents[member] = self._parents[self._parents[member]]  # parents come first
        return np.array(self._parents, dtype=np.int64)


def bucket_members(signatures: Signatures, members: Places, bands: int) -> Iterator[list[int]]:
    """Positions in `members` that share a bucket with another, band by band.

    Locality-sensitive hashing; buckets come in the order of their first members.
    """
    if not len(members):
        return
    rows = signatures.shape[1] // bands
    for band in range(bands):
        keys = np.zeros(len(members), dtype=np.uint64)
        for column in range(band * rows, (band + 1) * rows):
            keys = (keys + signatures[members, column] + _ONE) * _BAND_FACTOR
            keys ^= keys >> _BAND_SHIFT
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        borders = np.flatnonzero(np.append(keys[1:] != keys[:-1], True)) + 1
        starts = np.append(0, borders[:-1])
        several = np.flatnonzero(borders - starts > 1)
        for bucket in several[np.argsort(order[starts[several]])].tolist():
            yield order[starts[bucket] : borders[bucket]].tolist()


def near_duplicates(
    signatures: Signatures,
    members: Places,
    bands: int,
    threshold: float,
    shingles_of: Callable[[int], Shingles],
    tick: Callable[[], None],
) -> Clusters:
    """Clusters of the members' positions, connected by a Jaccard index of at least `threshold`.

    `members` are rows of `signatures`, and what `shingles_of` is asked for. Candidates share a
    bucket and are not connected yet. They are compared by their signatures, and exactly unless
    these are further below the threshold than chance allows. In a bucket of more than 256 a text is
    compared with one member of each cluster first, and with the others only where that joins it to
    none. `tick` is called for every bucket.
    """
    search = _Search(signatures, members, threshold, shingles_of, Clusters(len(members)))
    for bucket in bucket_members(signatures, members, bands):
        tick()
        search.connect(bucket)
    return search.clusters


@dataclass
class _Search:
    """What is connected already, and which pairs were found to differ."""

    signatures: Signatures
    members: Places
    threshold: float
    shingles_of: Callable[[int], Shingles]
    clusters: Clusters
    refused: set[tuple[int, int]] = field(default_factory=set)

    def connect(self, bucket: Sequence[int]) -> None:
        """Join the members of a bucket that are near-duplicates."""
        firsts: list[int] = []
        for place, member in enumerate(bucket):
            if len(bucket) <= _ALL_PAIRS:
                self._compare(member, bucket[:place])
            elif not self._compare(member, firsts) and not self._compare(member, bucket[:place]):
                firsts.append(member)

    def _compare(self, member: int, others: Sequence[int]) -> bool:
        """Join the member to each near-duplicate among the others; whether there is one."""
        find = self.clusters.find
        apart = [other for other in others if find(other) != find(member)]
        joined = len(apart) < len(others)
        if not apart:
            return joined
        rows = self.signatures[self.members[apart]]
        equal = (rows == self.signatures[self.members[member]]).mean(axis=1)
        near = np.flatnonzero(equal >= self.threshold - _ESTIMATE_MARGIN)
        for other in (apart[place] for place in near):
            pair = (other, member)
            if pair in self.refused or find(other) == find(member):
                continue
            if jaccard(self._shingles(other), self._shingles(member)) >= self.threshold:
                self.clusters.join(other, member)
                joined = True
            else:
                self._refuse(pair)
        return joined

    def _shingles(self, position: int) -> Shingles:
        return self.shingles_of(int(self.members[position]))

    def _refuse(self, pair: tuple[int, int]) -> None:
        """Remember the pair for as long as there is room; forgetting costs time alone."""
        if len(self.refused) >= _REFUSED_HELD:
            self.refused.clear()
        self.refused.add(pair)

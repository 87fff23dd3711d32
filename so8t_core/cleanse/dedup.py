"""Exact and near duplicates: MinHash over character 5-grams, candidates verified exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from so8t_core.cleanse.ngrams import Hashes, Ngrams
from so8t_core.cleanse.text import comparable
from so8t_core.contract.files import sha256_text

SHINGLE_CHARACTERS = 5
_MINHASH_SEED = 42  # part of the signature's format; the run's seed does not change duplicates

_ESTIMATE_MARGIN = 0.2  # more than five standard deviations of an estimate by 128 permutations

_NOTHING: Hashes = np.zeros(1, dtype=np.uint64)
_ALL_PAIRS = 256  # members of a bucket up to which every pair is looked at

Signatures = npt.NDArray[np.uint32]


def shingles(text: str) -> frozenset[str]:
    """The set of character 5-grams of the comparable text; a shorter text is one of its own."""
    key = comparable(text)
    if len(key) <= SHINGLE_CHARACTERS:
        return frozenset({key})
    return frozenset(
        key[place : place + SHINGLE_CHARACTERS]
        for place in range(len(key) - SHINGLE_CHARACTERS + 1)
    )


def exact_key(text: str) -> str:
    """Equal for texts that differ in blanks, punctuation and width alone."""
    return sha256_text(comparable(text))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over that of the union, 0 to 1."""
    shared = len(left & right)
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


@dataclass
class Clusters:
    """Disjoint sets over 0..size-1, each named by its smallest member."""

    size: int
    _parents: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._parents = list(range(self.size))

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


def bucket_members(signatures: Signatures, bands: int) -> Iterator[list[int]]:
    """Members of each bucket that holds two or more, band by band (locality-sensitive hashing)."""
    if not len(signatures):
        return
    for band in np.split(signatures, bands, axis=1):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for member, values in enumerate(np.ascontiguousarray(band)):
            buckets[values.tobytes()].append(member)
        yield from (members for members in buckets.values() if len(members) > 1)


def near_duplicates(
    signatures: Signatures,
    bands: int,
    threshold: float,
    shingles_of: Callable[[int], frozenset[str]],
    tick: Callable[[], None],
) -> Clusters:
    """Clusters of texts connected by a Jaccard index of at least `threshold`.

    Candidates share a bucket and are not connected yet. They are compared by their signatures, and
    exactly unless these are further below the threshold than chance allows. In a bucket of more
    than 256 a text is compared with one member of each cluster first, and with the others only
    where that joins it to none. `tick` is called for every bucket.
    """
    search = _Search(signatures, threshold, shingles_of, Clusters(len(signatures)))
    for members in bucket_members(signatures, bands):
        tick()
        search.connect(members)
    return search.clusters


@dataclass
class _Search:
    """What is connected already, and which pairs were found to differ."""

    signatures: Signatures
    threshold: float
    shingles_of: Callable[[int], frozenset[str]]
    clusters: Clusters
    refused: set[tuple[int, int]] = field(default_factory=set)

    def connect(self, members: Sequence[int]) -> None:
        """Join the members of a bucket that are near-duplicates."""
        firsts: list[int] = []
        for place, member in enumerate(members):
            if len(members) <= _ALL_PAIRS:
                self._compare(member, members[:place])
            elif not self._compare(member, firsts) and not self._compare(member, members[:place]):
                firsts.append(member)

    def _compare(self, member: int, others: Sequence[int]) -> bool:
        """Join the member to each near-duplicate among the others; whether there is one."""
        find = self.clusters.find
        apart = [other for other in others if find(other) != find(member)]
        joined = len(apart) < len(others)
        if not apart:
            return joined
        equal = (self.signatures[apart] == self.signatures[member]).mean(axis=1)
        near = np.flatnonzero(equal >= self.threshold - _ESTIMATE_MARGIN)
        for other in (apart[place] for place in near):
            pair = (other, member)
            if pair in self.refused or find(other) == find(member):
                continue
            if jaccard(self.shingles_of(other), self.shingles_of(member)) >= self.threshold:
                self.clusters.join(other, member)
                joined = True
            else:
                self.refused.add(pair)
        return joined

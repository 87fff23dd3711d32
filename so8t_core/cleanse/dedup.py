"""Exact and near duplicates: MinHash over character 5-grams, candidates verified exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from so8t_core.cleanse.text import comparable
from so8t_core.contract.files import sha256_text

SHINGLE_CHARACTERS = 5
_MINHASH_SEED = 42  # part of the signature's format; the run's seed does not change duplicates

_ESTIMATE_MARGIN = 0.2  # more than five standard deviations of an estimate by 128 permutations

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
    """MinHash signatures as hexadecimal text, 8 digits a permutation (Broder 1997)."""
    digests = RMinHash.digests_from_token_sets(
        [sorted(shingles(text)) for text in texts], num_perm=permutations, seed=_MINHASH_SEED
    )
    return [np.asarray(digest, dtype=">u4").tobytes().hex() for digest in digests]


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


def _estimate(signatures: Signatures, left: int, right: int) -> float:
    """The Jaccard index as the signatures show it: the share of equal permutations."""
    equal = int(np.count_nonzero(signatures[left] == signatures[right]))
    return equal / len(signatures[left])


def near_duplicates(
    signatures: Signatures,
    bands: int,
    threshold: float,
    shingles_of: Callable[[int], frozenset[str]],
    tick: Callable[[], None],
) -> Clusters:
    """Clusters of texts connected by a Jaccard index of at least `threshold`.

    Candidates share a bucket; each is compared once with every cluster in its bucket: by the
    signatures, then exactly unless these are further below the threshold than chance allows.
    `tick` is called for every bucket.
    """
    clusters = Clusters(len(signatures))
    refused: set[tuple[int, int]] = set()
    for members in bucket_members(signatures, bands):
        tick()
        firsts: list[int] = []
        for member in members:
            for other in firsts:
                if clusters.find(member) == clusters.find(other):
                    break
                if (other, member) in refused:
                    continue
                hopeless = _estimate(signatures, other, member) < threshold - _ESTIMATE_MARGIN
                if not hopeless and (jaccard(shingles_of(other), shingles_of(member)) >= threshold):
                    clusters.join(other, member)
                    break
                refused.add((other, member))
            else:
                firsts.append(member)
    return clusters

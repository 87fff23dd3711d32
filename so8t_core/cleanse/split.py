"""Train, validation and test: whole groups, so that near-duplicates stay together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.ngrams import Places

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

Assigned = npt.NDArray[np.uint8]
"""Numbers of splits, by `SPLITS`."""


@dataclass(frozen=True)
class Groups:
    """Pages that must stay together: for each group its id, and how many pages it has.

    `strata` tell what they hold, so that each kind of data is represented in every split.
    """

    ids: npt.NDArray[np.uint64]
    strata: npt.NDArray[np.uint8]
    pages: Places

    def __len__(self) -> int:
        return len(self.ids)


def seeded_keys(ids: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """The first 64 bits of SHA-256 over the seed and each id: an order that nobody chose."""
    digests = (hashlib.sha256(f"{seed}\n{name:016x}".encode()) for name in ids.tolist())
    values = (int.from_bytes(digest.digest()[:8]) for digest in digests)
    return np.fromiter(values, dtype=np.uint64, count=len(ids))


def assign(groups: Groups, seed: int, validation: float, test: float) -> Assigned:
    """Give each group its split, in the order of a seeded hash of its name.

    A stratum of at least three groups gives at least one to each part with a share above zero.
    Groups larger than the part they would fill stay in train.
    """
    found = np.full(len(groups), TRAIN, dtype=np.uint8)
    order = np.lexsort((groups.ids, seeded_keys(groups.ids, seed)))
    for stratum in np.unique(groups.strata).tolist():
        members = order[groups.strata[order] == stratum]
        _fill(found, members, groups.pages, ((TEST, test), (VALIDATION, validation)))
    return found


def _fill(
    found: Assigned, members: Places, pages: Places, shares: tuple[tuple[int, float], ...]
) -> None:
    if len(members) < 3:
        return
    total = int(pages[members].sum())
    for split, share in shares:
        wanted = max(1, round(share * total)) if share else 0
        taken = 0
        for member in members.tolist():
            if taken >= wanted:
                break
            if found[member] == TRAIN and pages[member] <= wanted - taken:
                found[member] = split
                taken += int(pages[member])

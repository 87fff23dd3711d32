"""Samples packed into rows of one length, their borders kept exactly.

A row holds several samples one after another. Positions restart with each, from which the model
makes its mask: no token sees another sample. The first token of a sample has no label, as it has
none when it stands alone, so a row gives exactly the losses of its samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from so8t_core.training.dataset import IGNORED, SampleSet
from so8t_core.training.encoding import Encoded
from so8t_core.training.packed_attention import ENDS, ends_of

Row = tuple[Encoded, ...]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows of sample indices that are at most `capacity` tokens long together.

    Best fit, longest sample first: each goes where it leaves the least room (Johnson, 1973; at most
    11/9 of the fewest rows possible). Equal input gives equal rows. Raises ValueError for a sample
    that is longer than a row.
    """
    rows: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # rows by the room they have left
    rooms = 0  # bit r is set where some row has room r
    for index in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        length = lengths[index]
        if length > capacity:
            raise ValueError(f"sample {index} has {length} tokens, a row {capacity}")
        enough = rooms >> length
        if enough:
            room = length + (enough & -enough).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                rooms &= ~(1 << room)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(index)
        by_room[room - length].append(row)
        rooms |= 1 << (room - length)
    return rows


class PackedSet(Dataset[Row]):
    """Rows of a sample set, by index; has no randomness of its own."""

    def __init__(self, samples: SampleSet, capacity: int) -> None:
        self.samples = samples
        self.capacity = capacity
        self.rows = pack(np.diff(samples.bounds).tolist(), capacity)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return tuple(self.samples[at] for at in self.rows[index])

    def digest(self) -> str:
        """SHA-256 of the samples and of how they are packed: the identity of the data."""
        shape = f"{self.samples.digest()}:{self.capacity}:{self.rows}"
        return hashlib.sha256(shape.encode()).hexdigest()

    @property
    def filled(self) -> float:
        """Which share of all rows' places holds a token."""
        return len(self.samples.ids) / (len(self) * self.capacity)


@dataclass(frozen=True)
class PackingCollator:
    """Makes a batch of rows, filled up on the right to the longest.

    What fills a row up is a sequence of its own, which nothing sees and nothing is learnt from.
    """

    pad_id: int
    tells_ends: bool = False
    """Whether batches say where samples end, for `packed_attention`."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Give `input_ids`, `position_ids` and `labels`, each int64 (rows, longest), and `tokens`.

        `tokens`: int64 (), without what fills up. With `tells_ends` also those.
        """
        lengths = [sum(len(sample.ids) for sample in row) for row in rows]
        shape = (len(rows), max(lengths))
        ids = torch.full(shape, self.pad_id, dtype=torch.int64)
        positions = torch.zeros(shape, dtype=torch.int64)
        labels = torch.full(shape, IGNORED, dtype=torch.int64)
        for number, row in enumerate(rows):
            at = 0
            for sample in row:
                part = slice(at, at + len(sample.ids))
                ids[number, part] = torch.tensor(sample.ids)
                positions[number, part] = torch.arange(len(sample.ids))
                learnt = torch.tensor(sample.learnt)
                learnt[0] = False  # or the sample before would have to predict it
                labels[number, part] = torch.where(learnt, ids[number, part], IGNORED)
                at = part.stop
            positions[number, at:] = torch.arange(shape[1] - at)
        batch = {
            "input_ids": ids,
            "position_ids": positions,
            "labels": labels,
            "tokens": torch.tensor(sum(lengths)),
        }
        if self.tells_ends:
            of_rows = [[len(sample.ids) for sample in row] for row in rows]
            batch[ENDS] = ends_of(of_rows, shape[1])
        return batch

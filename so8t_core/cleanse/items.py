"""The texts that are compared with one another, on disk: text, signature and exact key of each."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np

from so8t_core.cleanse.dedup import Shingles, Signatures, shingles
from so8t_core.cleanse.ngrams import Places
from so8t_core.cleanse.spill import Records, Spill
from so8t_core.cleanse.text import comparable
from so8t_core.cleanse.text_store import Stretch, TextStore

_EXACT = np.dtype([("key", np.uint64), ("rest", np.uint64), ("item", np.uint32)])
_SHINGLES_HELD_BYTES = 32 << 20


class Items:
    """Texts with what they are compared by.

    Memory holds 8 bytes a text, and the pages of the signatures' file that are looked at (4 bytes a
    permutation and text).
    """

    def __init__(self, folder: Path, permutations: int) -> None:
        self._permutations = permutations
        self._signature_path = folder / "signatures.bin"
        self._texts = TextStore(folder / "texts.bin")
        self._signature_file = Stretch(self._signature_path, create=True)
        self._exact = Spill(folder, "exact", _EXACT)
        self._held: OrderedDict[int, Shingles] = OrderedDict()
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str, signature: str) -> int:
        """Keep a text with its signature as hexadecimal text; its number."""
        number = self._texts.add(text)
        values = np.frombuffer(bytes.fromhex(signature), dtype=">u4").astype(np.uint32)
        self._signature_file.append(values.tobytes())
        digest = hashlib.sha256(comparable(text).encode()).digest()
        key, rest = np.frombuffer(digest[:16], dtype=np.uint64).tolist()
        self._exact.add(np.array([(key, rest, number)], dtype=_EXACT))
        return number

    def text(self, number: int) -> str:
        """One of the texts."""
        return self._texts[number]

    def signatures(self) -> Signatures:
        """All signatures so far, mapped from their file."""
        self._signature_file.flush()
        shape = (len(self), self._permutations)
        if not len(self):
            return np.zeros(shape, dtype=np.uint32)
        return np.memmap(self._signature_path, dtype=np.uint32, mode="r", shape=shape)

    def shingles(self, number: int) -> Shingles:
        """The shingles of a text; those asked for last are held, 32 MiB of them."""
        found = self._held.get(number)
        if found is not None:
            self._held.move_to_end(number)
            return found
        found = shingles(self.text(number))
        self._held[number] = found
        self._held_bytes += found.nbytes
        while self._held_bytes > _SHINGLES_HELD_BYTES and len(self._held) > 1:
            self._held_bytes -= self._held.popitem(last=False)[1].nbytes
        return found

    def equal_ones(self, members: Places) -> list[Records]:
        """Positions in `members` of texts that are equal but for their form, group by group."""
        position = np.full(len(self), -1, dtype=np.int32)
        position[members] = np.arange(len(members), dtype=np.int32)
        groups: list[Records] = []
        for records in self._exact.ranges():
            at = position[records["item"]]
            chosen = records[at >= 0]
            at = at[at >= 0]
            same = (chosen["key"][1:] == chosen["key"][:-1]) & (
                chosen["rest"][1:] == chosen["rest"][:-1]
            )
            first = np.flatnonzero(np.append(True, ~same)) if len(at) else np.zeros(0, np.int64)
            groups += [group for group in np.split(at, first[1:]) if len(group) > 1]
        return groups

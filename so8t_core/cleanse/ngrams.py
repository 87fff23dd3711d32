"""Counting character n-grams fast: equal windows are equal 64-bit hashes of their code points.

Two different n-grams of one text share a hash with a probability of about 1e-10 even where a text
has 10^5 of them (birthday bound), which no threshold notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well mixed (2^64 over the golden ratio)
_START = np.uint64(0xD6E8FEB86659FD93)

Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text; lone surrogates keep their value."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class Ngrams:
    """The n-grams of a text for growing n, each derived from the one before."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._hashes: dict[int, Hashes] = {}

    @cached_property
    def _points(self) -> Hashes:
        mixed = (code_points(self._text).astype(np.uint64) + np.uint64(1)) * _START
        return mixed ^ (mixed >> np.uint64(29))

    def hashes(self, size: int) -> Hashes:
        """One hash for each window of `size` characters, in their order."""
        if size not in self._hashes:
            points = self._points
            if size == 1:
                self._hashes[1] = points
            else:
                shorter = self.hashes(size - 1)
                length = max(0, len(points) - size + 1)
                self._hashes[size] = shorter[:length] * _FACTOR + points[size - 1 :][:length]
        return self._hashes[size]

    def counts(self, size: int) -> Counts:
        """How often each different n-gram occurs, in no particular order."""
        ordered = np.sort(self.hashes(size))
        if not len(ordered):
            return np.zeros(0, dtype=np.int64)
        borders = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        return np.diff(np.concatenate(([0], borders, [len(ordered)])))

    def covered(self, size: int) -> int:
        """How many characters lie in an n-gram that has occurred before, overlaps counted once."""
        values = self.hashes(size)
        if len(values) < 2:
            return 0
        order = np.argsort(values, kind="stable")
        again = np.zeros(len(values), dtype=bool)
        again[order[1:]] = values[order[1:]] == values[order[:-1]]
        starts = np.flatnonzero(again)
        if not len(starts):
            return 0
        gaps = np.minimum(np.diff(starts), size)
        return int(gaps.sum()) + size


def windows(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    """The n-grams of a list of words."""
    return zip(*(words[start:] for start in range(size)), strict=False)

"""Counting n-grams fast: equal stretches of a text are equal 64-bit hashes of their code points.

Two different n-grams of one text share a hash with a probability of about 1e-10 even where a text
has 10^5 of them (birthday bound), which no threshold notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

_FACTOR = 0x9E3779B97F4A7C15  # odd, its bits well mixed (2^64 over the golden ratio)
_INVERSE = pow(_FACTOR, -1, 1 << 64)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(29)
_ONE = np.uint64(1)

Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text; lone surrogates keep their value."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class _Powers:
    """Powers of a number modulo 2^64, as many as were ever asked for."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._values: Hashes = np.ones(1, dtype=np.uint64)

    def first(self, count: int) -> Hashes:
        if count > len(self._values):
            steps = np.full(max(count, 2 * len(self._values)), self._factor, dtype=np.uint64)
            steps[0] = 1
            self._values = np.cumprod(steps, dtype=np.uint64)
        return self._values[:count]


_POWERS, _INVERSE_POWERS = _Powers(_FACTOR), _Powers(_INVERSE)


class Stretches:
    """Hashes of any stretches of a line of numbers, such as the code points of a text.

    Each is a polynomial over the items of the stretch (Karp and Rabin 1987).
    """

    def __init__(self, items: npt.NDArray[np.uint32]) -> None:
        points = (items.astype(np.uint64) + _ONE) * _MIX
        points ^= points >> _SHIFT
        self._sums: Hashes = np.zeros(len(points) + 1, dtype=np.uint64)
        np.cumsum(points * _POWERS.first(len(points)), out=self._sums[1:])

    def __len__(self) -> int:
        return len(self._sums) - 1

    def windows(self, size: int) -> Hashes:
        """One hash for each window of `size` items, in their order."""
        count = max(0, len(self) - size + 1)
        found = self._sums[size : size + count] - self._sums[:count]
        found *= _INVERSE_POWERS.first(count)
        return found

    def between(self, starts: Places, ends: Places) -> Hashes:
        """The hash of each stretch from a start to its end."""
        inverse = _INVERSE_POWERS.first(len(self) + 1)
        return (self._sums[ends] - self._sums[starts]) * inverse[starts]


def group_sizes(hashes: Hashes) -> Counts:
    """How often each different hash occurs, in no particular order."""
    if not len(hashes):
        return np.zeros(0, dtype=np.int64)
    ordered = np.sort(hashes)
    borders = np.flatnonzero(ordered[1:] != ordered[:-1])
    sizes = np.empty(len(borders) + 1, dtype=np.int64)
    sizes[:-1] = borders
    sizes[-1] = len(ordered) - 1
    sizes[1:] -= borders
    sizes[0] += 1
    return sizes


def any_twice(hashes: Hashes) -> bool:
    """Whether any hash occurs more than once."""
    ordered = np.sort(hashes)
    return bool((ordered[1:] == ordered[:-1]).any())


class Ngrams:
    """The character n-grams of a text."""

    def __init__(self, text: str) -> None:
        self._stretches = Stretches(code_points(text))
        self._counts: dict[int, Counts] = {}

    def hashes(self, size: int) -> Hashes:
        """One hash for each window of `size` characters, in their order."""
        return self._stretches.windows(size)

    def counts(self, size: int) -> Counts:
        """How often each different n-gram occurs, in no particular order."""
        if size not in self._counts:
            self._counts[size] = group_sizes(self.hashes(size))
        return self._counts[size]

    def covered(self, size: int) -> int:
        """How many characters lie in an n-gram that has occurred before, overlaps counted once.

        The lowest bits of a hash make room for its place, so that sorting orders both; in 10^5
        n-grams two different ones are taken for equal with a probability of 4e-5 then.
        """
        values = self.hashes(size)
        places = np.uint64((1 << len(values).bit_length()) - 1)
        values &= ~places
        values |= np.arange(len(values), dtype=np.uint64)
        values.sort()
        hashes = values & ~places
        starts = (values[1:][hashes[1:] == hashes[:-1]] & places).astype(np.int64)
        if not len(starts):
            return 0
        starts.sort()
        return int(np.minimum(starts[1:] - starts[:-1], size).sum()) + size


class WordNgrams:
    """The n-grams of a text's words."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    @cached_property
    def _ends(self) -> Places:
        """Where each word ends, with 0 before the first."""
        ends = np.zeros(len(self._words) + 1, dtype=np.int64)
        np.cumsum(list(map(len, self._words)), out=ends[1:])
        return ends

    @cached_property
    def _by_number(self) -> Stretches:
        number_of = {word: number for number, word in enumerate(dict.fromkeys(self._words))}
        numbers = [number_of[word] for word in self._words]
        return Stretches(np.array(numbers, dtype=np.uint32))

    @cached_property
    def _by_letters(self) -> Stretches:
        return Stretches(code_points("".join(self._words)))

    def top(self, size: int) -> tuple[int, int]:
        """Characters of the most frequent n-gram's words, and how often it occurs.

        Of several the one that occurs first; (0, 0) where there is none.
        """
        hashes = self._by_number.windows(size)
        if not len(hashes):
            return 0, 0
        ordered = np.sort(hashes)
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
        counts = np.diff(ends, prepend=-1)
        most = int(counts.max())
        place = int(np.isin(hashes, ordered[ends[counts == most]]).argmax()) if most > 1 else 0
        return int(self._ends[place + size] - self._ends[place]), most

    def repeated(self, size: int) -> int:
        """Characters of n-grams whose letters have occurred as one before, each taken once.

        After such an n-gram the search goes on behind it.
        """
        last = len(self._words) - size
        if last < 0:
            return 0
        starts, ends = self._ends[: last + 1], self._ends[size:]
        hashes = self._by_letters.between(starts, ends)
        if not any_twice(hashes):
            return 0
        seen: set[int] = set()
        covered = place = 0
        values, lengths = hashes.tolist(), (ends - starts).tolist()
        while place <= last:
            if values[place] in seen:
                covered += lengths[place]
                place += size
            else:
                seen.add(values[place])
                place += 1
        return covered

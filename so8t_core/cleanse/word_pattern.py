"""Finding any of many words in a text.

The plain alternation of a thousand words is tried word by word at each place of a text. Here a
table of the words' first two letters, asked for all places at once, leaves few places to try, and
there a trie decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.ngrams import code_points

_Trie = dict[str, "_Trie"]
_END = ""
_TABLE_SIZE = 1 << 16
_SECOND = np.uint32(0x9E3779B1)


def word_pattern(
    words: Iterable[str], piece: Callable[[str, int, int], str] | None = None
) -> re.Pattern[str]:
    """A pattern that finds any of the words, the longest at each place.

    `piece(letter, place, length)` gives the expression for a letter of a word of this length; the
    letter itself without it. Without words the pattern finds nothing.
    """
    trie: _Trie = {}
    for word in words:
        node = trie
        for place, letter in enumerate(word):
            part = piece(letter, place, len(word)) if piece else re.escape(letter)
            node = node.setdefault(part, {})
        node[_END] = {}
    return re.compile(_expression(trie) if trie else r"(?!)")


def _expression(node: _Trie) -> str:
    branches = [part + _expression(node[part]) for part in node if part != _END]
    if not branches:
        return ""
    body = branches[0] if len(branches) == 1 and _END not in node else f"(?:{'|'.join(branches)})"
    return body + "?" if _END in node else body


class WordFinder:
    """Finds any of the words, the longest at each place; words of one letter are allowed."""

    def __init__(self, words: Iterable[str]) -> None:
        known = sorted({word for word in words if word})
        self._pattern = word_pattern(known)
        self._pairs = np.zeros(_TABLE_SIZE, dtype=bool)
        beginnings = "".join(word[:2] for word in known if len(word) > 1)
        self._pairs[_pair_keys(code_points(beginnings))[::2]] = True
        self._singles = frozenset(word for word in known if len(word) == 1)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Matches that do not overlap, from left to right."""
        end = 0
        for place in self._places(text):
            if place >= end and (found := self._pattern.match(text, place)):
                yield found
                end = found.end()

    def _places(self, text: str) -> list[int]:
        keys = _pair_keys(code_points(text))
        places: list[int] = np.flatnonzero(self._pairs[keys]).tolist()
        if self._singles and not self._singles.isdisjoint(text):
            singles = [place for place, letter in enumerate(text) if letter in self._singles]
            places = sorted({*places, *singles})
        return places

    def found_in(self, text: str) -> bool:
        """Whether any word is in the text."""
        return next(self.finditer(text), None) is not None

    def count(self, text: str) -> int:
        """How many words are found."""
        return sum(1 for _ in self.finditer(text))

    def characters(self, text: str) -> int:
        """How many characters the found words have."""
        return sum(found.end() - found.start() for found in self.finditer(text))


def _pair_keys(points: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """A key of 16 bits for each pair of neighbouring letters."""
    if len(points) < 2:
        return np.zeros(0, dtype=np.uint32)
    mixed = points[:-1] ^ (points[1:] * _SECOND)
    keys = (mixed ^ (mixed >> np.uint32(16))) & np.uint32(_TABLE_SIZE - 1)
    return np.asarray(keys, dtype=np.uint32)

"""The words of a text as far as they are known, and what is certain by then.

Cutting a text into words is most of the work of the rules that count them. A rule is met for sure
once the words so far and the characters that are left allow no other end; the same decision then
costs a part of the words. The functions here answer that for the measures of
`quality_measures.py`; where they say no, all words are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np

from so8t_core.cleanse.ngrams import Hashes, Ngrams

_STRETCHES = (2, 3, 4, 5, 6, 8, 11, 15, 22, 32, 50, 80, 150, 300, 600, 1200)
_INNER_BLANK = re.compile(r"(?<=[^\s\u2e80-\U0010ffff])\s(?=[^\s\u2e80-\U0010ffff])")
"""A blank that a word of the dictionary may hold, as in "New York"."""


_BITS = 32
_FIELD = (1 << _BITS) - 1
_WORDS_HELD = 100_000


class Beginning:
    """The first words of a text, more of them whenever they are asked for.

    `words` counts them, `real_words` those that are more than punctuation, of `real_characters`
    letters; `lettered` those with a letter; `different` holds them. `left` is what comes behind
    them, in characters that are no blanks, `unlettered_left` those of it that are no letters.
    """

    def __init__(self, text: str, solid: str, punctuation: frozenset[str]) -> None:
        from so8t_core.cleanse.words import word_pieces  # an optional dependency

        self._pieces = word_pieces(text)
        self._facts = _facts(punctuation)
        self._words: list[str] = []
        self.real_words = self.real_characters = self.lettered = 0
        self.different: set[str] = set()
        self.left = len(solid)
        self.unlettered_left = _unlettered(solid)

    @property
    def words(self) -> int:
        """How many words are known."""
        return len(self._words)

    def characters_of(self, count: int) -> int:
        """Characters of the first words."""
        return sum(map(len, self._words[:count]))

    def all_words(self) -> list[str]:
        """All words of the text."""
        while self._more():
            pass
        return self._words

    def reaches(self, certain: Callable[[Beginning], bool]) -> bool:
        """Whether something is certain at some word of the text; no more words are read."""
        while not certain(self):
            if not self._more():
                return False
        return True

    def _more(self) -> bool:
        words = next(self._pieces, None)
        if words is None:
            return False
        self._words += words
        self.different.update(words)
        told = sum(map(self._facts.__getitem__, words))
        self.lettered += told & _FIELD
        self.real_words += told >> _BITS & _FIELD
        self.real_characters += told >> 2 * _BITS & _FIELD
        self.left -= told >> 3 * _BITS & _FIELD
        self.unlettered_left -= told >> 4 * _BITS
        return True


class _WordFacts(dict[str, int]):
    """What is counted of a word, side by side in one number, so that a sum adds up all of it.

    From the lowest field: whether it has a letter, whether it is more than punctuation, its
    characters then, its characters that are no blanks, those of them that are no letters.
    """

    def __init__(self, punctuation: frozenset[str]) -> None:
        self._punctuation = punctuation

    def __missing__(self, word: str) -> int:
        solid = "".join(word.split())
        real = not self._punctuation.issuperset(word)
        fields = (
            any(map(str.isalpha, word)),
            real,
            len(word) * real,
            len(solid),
            _unlettered(solid),
        )
        told = sum(value << place * _BITS for place, value in enumerate(fields))
        if len(self) < _WORDS_HELD:
            self[word] = told
        return told


@cache
def _facts(punctuation: frozenset[str]) -> _WordFacts:
    return _WordFacts(punctuation)


def _unlettered(text: str) -> int:
    return len(text) - sum(map(str.isalpha, text))


class Stretches:
    """How the letters of a text repeat, from which follows how its words do at most.

    A word n-gram that occurs again is a stretch of at least n letters that occurs again, wherever
    the words begin; words may hold blanks besides.
    """

    def __init__(self, text: str, solid: str) -> None:
        self._ngrams = Ngrams(solid)
        self._blanks = len(_INNER_BLANK.findall(text))
        self._sorted: dict[int, Hashes] = {}
        self._covered: dict[int, int] = {}

    def top_within(self, size: int, most: float) -> bool:
        """Whether no word n-gram that occurs again has more characters in all its places.

        Characters of its words and of the blanks between them.
        """
        for stretch, longer in pairwise(_STRETCHES):
            if longer <= size:
                continue
            ordered = self._ordered(max(stretch, size))
            if not _occurs(ordered, 2):
                return True
            room = int(most - self._blanks) // (longer - 1 + size - 1)
            if room < 1 or _occurs(ordered, room + 1):
                return False
        return not _occurs(self._ordered(_STRETCHES[-1]), 2)

    def _ordered(self, size: int) -> Hashes:
        """All stretches of this size, equal ones together."""
        if size not in self._sorted:
            self._sorted[size] = np.sort(self._ngrams.hashes(size))
        return self._sorted[size]

    def repeated_within(self, size: int, most: float) -> bool:
        """Whether at most so many characters lie in word n-grams that have occurred before."""
        room = most - self._blanks
        if any(known <= size and covered <= room for known, covered in self._covered.items()):
            return True
        if size not in self._covered:
            self._covered[size] = self._ngrams.covered(size)
        return self._covered[size] <= room


def _occurs(ordered: Hashes, times: int) -> bool:
    """Whether any of the hashes in order occurs so often."""
    if len(ordered) < times:
        return False
    return bool((ordered[times - 1 :] == ordered[: len(ordered) - times + 1]).any())

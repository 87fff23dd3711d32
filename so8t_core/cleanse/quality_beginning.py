"""The words of a text as far as they are known, and what is certain by then.

Cutting a text into words is most of the work of the rules that count them. A rule is met for sure
once the words so far and the characters that are left allow no other end; the same decision then
costs a part of the words. The functions here answer that for the measures of
`quality_measures.py`; where they say no, all words are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from so8t_core.cleanse.ngrams import Ngrams, group_sizes
from so8t_core.cleanse.words import INNER_BLANK, word_pieces

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
        self._blanks = len(INNER_BLANK.findall(text))
        self._most: dict[int, int] = {}
        self._covered: dict[int, int] = {}

    def top_within(self, size: int, most: float) -> bool:
        """Whether no word n-gram that occurs again has more characters in all its places.

        Characters of its words and of the blanks between them. A longer stretch occurs at most as
        often as a shorter one, so that one count settles all stretches up to the longest that may
        occur so often.
        """
        stretch, room = size, int(most - self._blanks)
        while (times := self._times(stretch)) > 1:
            longest = room // times - (size - 1)
            if longest < stretch:
                return False
            stretch = longest + 1
        return True

    def _times(self, size: int) -> int:
        """How often a stretch of this size occurs at most."""
        if size not in self._most:
            counts = group_sizes(self._ngrams.hashes(size))
            self._most[size] = int(counts.max()) if len(counts) else 0
        return self._most[size]

    def repeated_within(self, size: int, most: float) -> bool:
        """Whether at most so many characters lie in word n-grams that have occurred before."""
        room = most - self._blanks
        if any(known <= size and covered <= room for known, covered in self._covered.items()):
            return True
        if size not in self._covered:
            self._covered[size] = self._ngrams.covered(size)
        return self._covered[size] <= room

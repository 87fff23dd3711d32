"""A text and what rules need of it, each part computed at most once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from so8t_core.cleanse.language import Scripts, count_scripts
from so8t_core.cleanse.ngrams import Ngrams, WordNgrams
from so8t_core.cleanse.quality_beginning import Beginning, Stretches

_SENTENCE_END = re.compile(r"[。．！？!?]+[」』）)]?|[.:;](?=\s)|\n")
_SWALLOW_SENTENCE = re.compile("[^。．！？!?]+[。．！？!?]?")
_JAPANESE = re.compile("[ぁ-ヿ一-鿿]")
_ASCII = re.compile("[!-~]+")
_LINE_BREAKS = re.compile("\n+")

TERMINAL = (
    "。",
    "．",
    "！",
    "？",
    "!",
    "?",
    ".",
    "‼",
    "⁇",
    "⁈",
    "⁉",
    "｡",
    "؟",
    "।",
    "።",
    "។",
    "‽",
)
PUNCTUATION = (
    frozenset(
        "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    )
    | {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
    | set(TERMINAL)
)

STOP_WORDS = frozenset("のにをはたてがとで年し・月れさ")
"""The 15 most frequent words of FineWeb-2's `jpn_Jpan`."""


class Sample:
    """A text seen from every side that a rule asks for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def scripts(self) -> Scripts:
        """Characters by script."""
        return count_scripts(self.text)

    @cached_property
    def lines(self) -> list[str]:
        """Lines that are not empty."""
        return [line for line in self.text.split("\n") if line]

    @cached_property
    def filled_lines(self) -> list[str]:
        """Lines that hold more than blanks (FineWeb)."""
        return [line for line in self.text.split("\n") if line.strip()]

    @cached_property
    def line_parts(self) -> list[str]:
        """The text split at runs of line breaks (Gopher in datatrove)."""
        return _LINE_BREAKS.split(self.text)

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences and unfinished lines."""
        return [part for part in _SENTENCE_END.split(self.text) if part.strip()]

    @cached_property
    def swallow_sentences(self) -> list[list[str]]:
        """Sentences line by line, as Swallow v1 cuts them: a mark ends one and belongs to it."""
        return [_SWALLOW_SENTENCE.findall(line) for line in self.text.split("\n")]

    @cached_property
    def solid(self) -> str:
        """The text without blanks."""
        return "".join(self.text.split())

    @cached_property
    def native_lines(self) -> list[str]:
        """Lines with Japanese letters: quoted code repeats and ends as it must."""
        return [line for line in self.lines if _JAPANESE.search(line)]

    @cached_property
    def native(self) -> str:
        """The text without blanks and without ASCII."""
        return _ASCII.sub("", self.solid)

    @cached_property
    def native_ngrams(self) -> Ngrams:
        """Character n-grams of what is not ASCII."""
        return Ngrams(self.native)

    @cached_property
    def ngrams(self) -> Ngrams:
        """Character n-grams of the text as it is."""
        return Ngrams(self.text)

    @cached_property
    def beginning(self) -> Beginning:
        """The words as far as they are known."""
        return Beginning(self.text, self.solid, PUNCTUATION)

    @cached_property
    def words(self) -> list[str]:
        """The words, as Sudachi's shortest units.

        Raises `SettingsError` where the analyser is not installed.
        """
        return self.beginning.all_words()

    @cached_property
    def stretches(self) -> Stretches:
        """How the letters repeat."""
        return Stretches(self.text, self.solid)

    @cached_property
    def word_counts(self) -> Counter[str]:
        """How often each different word occurs."""
        return Counter(self.words)

    @cached_property
    def word_ngrams(self) -> WordNgrams:
        """N-grams of the words."""
        return WordNgrams(self.words)


def repeats(parts: Sequence[str]) -> tuple[int, int]:
    """How many of the parts have occurred before, and the characters in them."""
    again = [(count - 1, len(part)) for part, count in Counter(parts).items() if count > 1]
    return sum(count for count, _ in again), sum(count * length for count, length in again)


def share(part: float, whole: float) -> float:
    """`part` of `whole`; 0 of nothing."""
    return part / whole if whole else 0.0

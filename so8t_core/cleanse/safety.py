"""Which text must not be learned from, and why. It serves detection and refusal only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from so8t_core.cleanse.intents import INTENTS
from so8t_core.cleanse.lexicon import AGAINST, CATEGORIES, REPORTING, Category
from so8t_core.cleanse.safety_folding import MASK, fold
from so8t_core.cleanse.text import is_mojibake
from so8t_core.cleanse.word_pattern import word_pattern
from so8t_core.contract.labels import SafetyLabel, strictest

UNKNOWN = "unknown"
"""Category of text that cannot be judged."""

_WEAK_HITS = 4
_WEAK_WORDS = 2
_WEAK_CHARACTERS_A_HIT = 250  # weak words count only where they stand as dense as this
_WEAK_OVER_REPORTING = 2  # and outnumber the words of news, law and help by so many times
_SENTENCE_ENDS = "。！？!?\n"


@dataclass(frozen=True)
class Verdict:
    """The label of a text, the categories behind it, and the passages that show them."""

    label: SafetyLabel
    categories: tuple[str, ...]
    passages: tuple[str, ...]


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the words, also with inner letters masked as in セ○クス."""
    return word_pattern(map(fold, words), _letter)


def _letter(letter: str, place: int, length: int) -> str:
    if length >= 3 and 0 < place < length - 1:
        return f"[{re.escape(letter)}{MASK}]"
    return re.escape(letter)


_STRONG = {category.name: _pattern(category.strong) for category in CATEGORIES}
_REPORTING = _pattern(REPORTING)
_AGAINST = _pattern(REPORTING + AGAINST)
_WEAK = {category.name: _pattern(category.weak) for category in CATEGORIES}


def _label(category: Category, folded: str) -> SafetyLabel | None:
    """The category's label for a strong phrase; ESCALATION where only weak words meet."""
    if _STRONG[category.name].search(folded) or _meant(category, folded):
        return category.label
    hits = _WEAK[category.name].findall(folded)
    meet = (
        len(hits) >= _WEAK_HITS
        and len(set(hits)) >= _WEAK_WORDS
        and len(hits) * _WEAK_CHARACTERS_A_HIT >= len(folded)
        and len(hits) > _WEAK_OVER_REPORTING * len(_REPORTING.findall(folded))
    )
    return SafetyLabel.ESCALATION if meet else None


def _meant(category: Category, folded: str) -> bool:
    """Whether a topic stands beside an intent in a sentence that does not report on it."""
    return any(
        not _AGAINST.search(_sentence(folded, found.start(), found.end()))
        for intent in INTENTS
        if intent.category == category.name
        for found in intent.pattern.finditer(folded)
    )


def _sentence(folded: str, start: int, end: int) -> str:
    first = max(folded.rfind(mark, 0, start) for mark in _SENTENCE_ENDS) + 1
    ends = [place for mark in _SENTENCE_ENDS if (place := folded.find(mark, end)) >= 0]
    return folded[first : min(ends, default=len(folded))]


def assess(text: str) -> Verdict:
    """Label a text.

    Empty or unreadable text cannot be judged and is ESCALATION.
    """
    folded = fold(text)
    if not any(map(str.isalnum, folded)) or is_mojibake(text):
        return Verdict(SafetyLabel.ESCALATION, (UNKNOWN,), ())
    found = {
        category: label
        for category in CATEGORIES
        if (label := _label(category, folded)) is not None
    }
    if not found:
        return Verdict(SafetyLabel.ALLOW, (), ())
    return Verdict(
        strictest(list(found.values())),
        tuple(category.name for category in found),
        _passages(text, list(found)),
    )


def _passages(text: str, found: list[Category]) -> tuple[str, ...]:
    """The paragraphs that hold a word of the categories; all of them where a word spans several."""
    paragraphs = [line for line in text.split("\n") if line]
    telling = tuple(
        paragraph
        for paragraph in paragraphs
        if any(_shows(category, fold(paragraph)) for category in found)
    )
    return telling or tuple(paragraphs)


def _shows(category: Category, folded: str) -> bool:
    name = category.name
    words = _STRONG[name].search(folded) or _WEAK[name].search(folded)
    return words is not None or _meant(category, folded)

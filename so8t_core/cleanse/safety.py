"""Which text must not be learned from, and why. It serves detection and refusal only."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from so8t_core.cleanse.lexicon import CATEGORIES, REPORTING, Category
from so8t_core.cleanse.text import is_mojibake
from so8t_core.contract.labels import SafetyLabel, strictest

UNKNOWN = "unknown"
"""Category of text that cannot be judged."""

_WEAK_HITS = 4
_WEAK_WORDS = 2
_WEAK_CHARACTERS_A_HIT = 250  # weak words count only where they stand as dense as this
_WEAK_OVER_REPORTING = 2  # and outnumber the words of news, law and help by so many times
_MASK = "○"
_MASKS = re.compile("[○◯●〇×*]")
_OBFUSCATORS = re.compile(r"[\s・_\-‐.,'`~^|/\\☆★♡♥]")
_KATAKANA_TO_HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}


@dataclass(frozen=True)
class Verdict:
    """The label of a text, the categories behind it, and the passages that show them."""

    label: SafetyLabel
    categories: tuple[str, ...]
    passages: tuple[str, ...]


def _fold(text: str) -> str:
    """NFKC, lower case, hiragana, without what is put between letters to hide a word."""
    folded = unicodedata.normalize("NFKC", text).lower().translate(_KATAKANA_TO_HIRAGANA)
    return _OBFUSCATORS.sub("", _MASKS.sub(_MASK, folded))


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the words, also with inner letters masked as in セ○クス."""
    return re.compile(
        "|".join(_maskable(_fold(word)) for word in sorted(words, key=len, reverse=True))
    )


def _maskable(word: str) -> str:
    if len(word) < 3:
        return re.escape(word)
    inner = "".join(f"[{re.escape(letter)}{_MASK}]" for letter in word[1:-1])
    return re.escape(word[0]) + inner + re.escape(word[-1])


_STRONG = {category.name: _pattern(category.strong) for category in CATEGORIES}
_REPORTING = _pattern(REPORTING)
_WEAK = {category.name: _pattern(category.weak) for category in CATEGORIES}


def _label(category: Category, folded: str) -> SafetyLabel | None:
    """The category's label for a strong phrase; ESCALATION where only weak words meet."""
    if _STRONG[category.name].search(folded):
        return category.label
    hits = _WEAK[category.name].findall(folded)
    meet = (
        len(hits) >= _WEAK_HITS
        and len(set(hits)) >= _WEAK_WORDS
        and len(hits) * _WEAK_CHARACTERS_A_HIT >= len(folded)
        and len(hits) > _WEAK_OVER_REPORTING * len(_REPORTING.findall(folded))
    )
    return SafetyLabel.ESCALATION if meet else None


def assess(text: str) -> Verdict:
    """Label a text.

    Empty or unreadable text cannot be judged and is ESCALATION.
    """
    folded = _fold(text)
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
        if any(
            pattern[category.name].search(_fold(paragraph))
            for category in found
            for pattern in (_STRONG, _WEAK)
        )
    )
    return telling or tuple(paragraphs)

"""Which text must not be learned from, and why. It serves detection and refusal only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from so8t_core.cleanse.intent_search import IntentSearch
from so8t_core.cleanse.intents import INTENTS
from so8t_core.cleanse.lexicon import AGAINST, CATEGORIES, REPORTING, Category
from so8t_core.cleanse.safety_folding import MASK, fold, folded_pattern
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
_INTENTS = IntentSearch(INTENTS)
_AGAINST = _pattern(REPORTING + AGAINST)
_EVADING = re.compile(
    folded_pattern(
        "(?:警察|当局|捜査|規制|取り締まり|法律|逮捕|税務署|罰|通報|監視|検問|税関|親|学校|運営)(?:から|に|を|の目を|は|も|など)*[^。！？!?]{0,8}?"
        "(?:ばれ(?:な|ず)|捕まら|逃れ|逃げ|かいくぐ|くぐり|避け|回避|すり抜け|出し抜|ごまか|気づかれ|され(?:な|ず)|言うな|知られ(?:な|ず)|心配)|"
        "(?:お気軽に|まずは|何でも|ご)相談|相談(?:くだ|下|無料|に乗)|対策(?:も|は)?(?:万全|ばっちり|済)|(?:閲覧|取り?扱い?)注意|"
        "無差別|夜道[にはも]*(?:気をつけ|注意)|天罰|事件を起こ|純度の見分け"
    )
)
"""What names the police or the law and still speaks for the deed."""
_NEWS = re.compile(
    "逮捕|容疑|起訴|送検|判決|捜査|摘発|有罪|被告|裁判|調べに対し|県警|警視庁|警察(?:は|によると)"
)
"""Beside a sentence with such a word a mere hint proves nothing."""
_WEAK = {category.name: _pattern(category.weak) for category in CATEGORIES}


def _label(category: Category, folded: str, meant: Mapping[str, bool]) -> SafetyLabel | None:
    """The category's label for a strong phrase or an intent; ESCALATION for what hints at it."""
    if _STRONG[category.name].search(folded) or meant.get(category.name):
        return category.label
    if category.name in meant:
        return SafetyLabel.ESCALATION
    hits = _WEAK[category.name].findall(folded)
    meet = (
        len(hits) >= _WEAK_HITS
        and len(set(hits)) >= _WEAK_WORDS
        and len(hits) * _WEAK_CHARACTERS_A_HIT >= len(folded)
        and len(hits) > _WEAK_OVER_REPORTING * len(_REPORTING.findall(folded))
    )
    return SafetyLabel.ESCALATION if meet else None


def _meant(folded: str) -> dict[str, bool]:
    """The categories of intents in sentences that do not report on them, and whether for sure."""
    found: dict[str, bool] = {}
    for intent in _INTENTS.candidates(folded):
        if found.get(intent.category):
            continue
        spans = (match.span() for match in intent.pattern.finditer(folded))
        if any(_is_meant(folded, *span, sure=intent.sure) for span in spans):
            found[intent.category] = found.get(intent.category, False) or intent.sure
    return found


def _is_meant(folded: str, start: int, end: int, *, sure: bool) -> bool:
    """Whether the sentence does not report, and for a hint, those beside it neither."""
    first, last = _sentence(folded, start, end)
    if _AGAINST.search(_EVADING.sub("", folded[first:last])):
        return False
    return sure or not any(
        _NEWS.search(folded[slice(*_sentence(folded, place, place))])
        for place in (max(0, first - 1), min(len(folded), last + 1))
    )


def _sentence(folded: str, start: int, end: int) -> tuple[int, int]:
    first = max(folded.rfind(mark, 0, start) for mark in _SENTENCE_ENDS) + 1
    ends = [place for mark in _SENTENCE_ENDS if (place := folded.find(mark, end)) >= 0]
    return first, min(ends, default=len(folded))


def assess(text: str) -> Verdict:
    """Label a text.

    Empty or unreadable text cannot be judged and is ESCALATION.
    """
    folded = fold(text)
    if not any(map(str.isalnum, folded)) or is_mojibake(text):
        return Verdict(SafetyLabel.ESCALATION, (UNKNOWN,), ())
    meant = _meant(folded)
    found = {
        category: label
        for category in CATEGORIES
        if (label := _label(category, folded, meant)) is not None
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
    telling = tuple(paragraph for paragraph in paragraphs if _shows(found, fold(paragraph)))
    return telling or tuple(paragraphs)


def _shows(found: list[Category], folded: str) -> bool:
    """Whether a paragraph shows any of the categories."""
    meant = _meant(folded)
    return any(
        _STRONG[category.name].search(folded)
        or _WEAK[category.name].search(folded)
        or category.name in meant
        for category in found
    )

"""Which scripts a text is written in, and which language it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from so8t_core.cleanse.ngrams import code_points

JAPANESE, CHINESE = "ja", "zh"
_CLASSIFIED_CHARACTERS = 20_000
_HANGUL = re.compile("[\uac00-\ud7a3]")
_OTHER, _LETTER, _HIRAGANA, _KATAKANA, _KANJI, _DIGIT = range(6)
_BEYOND = 0x31350
_RANGES = (
    (_HIRAGANA, "ぁゖゝゞ"),
    (_KATAKANA, "ァヺーヿㇰㇿ"),
    (_KANJI, "㐀䶿一鿿々々〆〆豈\ufaff"),
    (_DIGIT, "09"),
)


@cache
def _script_of() -> npt.NDArray[np.uint8]:
    """The script of each code point up to the last plane of ideographs; beyond are no letters."""
    table = np.array([chr(code).isalnum() for code in range(_BEYOND + 1)], dtype=np.uint8)
    for script, borders in _RANGES:
        for first, last in zip(borders[::2], borders[1::2], strict=True):
            table[ord(first) : ord(last) + 1] = script
    table[0x20000:_BEYOND] = _KANJI
    return table


@dataclass(frozen=True)
class Scripts:
    """How many characters of each script; `letters` are all letters and digits but Arabic ones."""

    hiragana: int
    katakana: int
    kanji: int
    letters: int
    digits: int
    characters: int

    @property
    def japanese(self) -> int:
        """Kana and ideographs."""
        return self.hiragana + self.katakana + self.kanji

    def share(self, count: int) -> float:
        """`count` as a share of the letters; 0 in a text without letters."""
        return count / self.letters if self.letters else 0.0


def count_scripts(text: str) -> Scripts:
    """Count the scripts of a text."""
    points = np.minimum(code_points(text), _BEYOND)
    counts = np.bincount(_script_of()[points], minlength=_DIGIT + 1).tolist()
    hiragana, katakana, kanji = counts[_HIRAGANA], counts[_KATAKANA], counts[_KANJI]
    return Scripts(
        hiragana=hiragana,
        katakana=katakana,
        kanji=kanji,
        letters=counts[_LETTER] + hiragana + katakana + kanji,
        digits=counts[_DIGIT],
        characters=len(text),
    )


def language_of(text: str, min_kana_ratio: float) -> str:
    """The language of a text, `ja` or another code of ISO 639-1.

    Kana decide where there are enough: Chinese has none, and other languages have no Japanese
    letters at all. A text with fewer is Japanese where it has any and the classifier of py3langid,
    whose model ships in its package, says so. Text in ideographs alone is never taken for Japanese.
    """
    scripts = count_scripts(text)
    kana = scripts.hiragana + scripts.katakana
    enough = kana > 0 and scripts.share(kana) >= min_kana_ratio
    if enough and len(_HANGUL.findall(text)) < kana:
        return JAPANESE
    named: str = _classifier().classify(text[:_CLASSIFIED_CHARACTERS])[0]
    if named == JAPANESE and not kana:
        return CHINESE
    return named


@cache
def _classifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE)

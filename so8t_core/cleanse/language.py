"""Which scripts a text is written in, and whether it is Japanese."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HIRAGANA = re.compile("[ぁ-ゖゝゞ]")
_KATAKANA = re.compile("[ァ-ヺー-ヿㇰ-ㇿ]")
_KANJI = re.compile("[㐀-䶿一-鿿々〆豈-\ufaff\U00020000-\U0003134f]")
_DIGIT = re.compile("[0-9]")


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
    digits = len(_DIGIT.findall(text))
    return Scripts(
        hiragana=len(_HIRAGANA.findall(text)),
        katakana=len(_KATAKANA.findall(text)),
        kanji=len(_KANJI.findall(text)),
        letters=sum(map(str.isalnum, text)) - digits,
        digits=digits,
        characters=len(text),
    )


def is_japanese(scripts: Scripts, min_kana_ratio: float) -> bool:
    """Kana decide: Chinese has none, and other languages have no Japanese letters at all."""
    return scripts.share(scripts.hiragana + scripts.katakana) >= min_kana_ratio

"""The view of a text in which words stand plainly that somebody wanted to hide."""

from __future__ import annotations

import re
import unicodedata

MASK = "○"
"""Stands for a letter that was masked, as in セ○クス."""

_MASKS = re.compile("[○◯●〇×*□■◇◆△▲]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
_OBFUSCATORS = re.compile(r"[\s・_\-‐.,'`~^|/\\☆★♡♥※＊♪\u3099\u309a=+:;\"“”#]")
_PLAIN = (
    {code: code - 0x60 for code in range(0x30A1, 0x30F7)}  # katakana as hiragana
    | str.maketrans("樂壯麻", "楽壮麻")
)
_SMALL = str.maketrans("ぁぃぅぇぉっゃゅょゎゕゖゑゐ", "あいうえおつやゆよわかけえい")
_LIKE_LATIN = str.maketrans("013457@$", "oieastas")
_AMONG_LATIN = re.compile("(?<=[a-z])[013457@$](?=[a-z])")
_LIKE_KANA = str.maketrans("久口工力夕卜二八", "くろえかたとには")
_AMONG_KANA = re.compile("(?<=[ぁ-ゖー])[久口工力夕卜二八](?=[ぁ-ゖー])")


def fold(text: str) -> str:
    """NFKC, lower case, hiragana of one size, without what is put between letters to hide a word.

    Ideographs and digits that stand for the kana or Latin letters which they look like are those.
    """
    text = _INVISIBLE.sub("", text).replace("゛", "\u3099").replace("゜", "\u309a")
    folded = unicodedata.normalize("NFKC", text).lower().translate(_PLAIN)
    folded = _OBFUSCATORS.sub("", _MASKS.sub(MASK, folded)).translate(_SMALL)
    folded = _AMONG_LATIN.sub(lambda found: found[0].translate(_LIKE_LATIN), folded)
    return _AMONG_KANA.sub(lambda found: found[0].translate(_LIKE_KANA), folded)


def folded_pattern(pattern: str) -> str:
    """An expression over hiragana, as it meets the folded view."""
    return pattern.translate(_SMALL)

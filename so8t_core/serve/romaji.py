"""Kana in Latin letters, so that thinking in one script is known again in the other."""

from __future__ import annotations

import re
import unicodedata

from so8t_core.serve.disguise import stream_safe

_ROWS = {
    "": "あいうえお", "k": "かきくけこ", "g": "がぎぐげご", "s": "さしすせそ", "z": "ざじずぜぞ",
    "t": "たちつてと", "d": "だぢづでど", "n": "なにぬねの", "h": "はひふへほ", "b": "ばびぶべぼ",
    "p": "ぱぴぷぺぽ", "m": "まみむめも", "r": "らりるれろ",
}  # fmt: skip
_OTHERS = {
    "や": "ya", "ゆ": "yu", "よ": "yo", "わ": "wa", "を": "o", "ん": "n", "ゔ": "bu", "ー": "",
    "ぁ": "a", "ぃ": "i", "ぅ": "u", "ぇ": "e", "ぉ": "o",
}  # fmt: skip
_KANA = {
    **{
        kana: row + vowel
        for row, line in _ROWS.items()
        for kana, vowel in zip(line, "aiueo", strict=True)
    },
    **_OTHERS,
}
_TO_HIRAGANA = str.maketrans({chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)})
_SMALL = {"ゃ": "ya", "ゅ": "yu", "ょ": "yo"}
# one spelling for those of the Hepburn, Nihon and word-processor systems
_SPELLINGS = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        ("sh", "sy"), ("ch|tc", "ty"), ("j", "zy"), ("ts", "t"), ("f", "h"), ("dz", "z"),
        ("yy", "y"), ("(?<=[szt])yi", "i"), ("d(?=[iu])", "z"), ("wo", "o"), ("l", "r"), ("v", "b"),
        (r"([aeiou])\1+", r"\1"), ("ou", "o"), ("m(?=[bmp])", "n"), (r"([^aeioun])\1+", r"\1"),
    )
]  # fmt: skip


def has_kana(text: str) -> bool:
    """Whether anything can be written in Latin letters."""
    return any("ぁ" <= character <= "ヶ" for character in text)


def romaji(text: str) -> str:
    """The text with its kana, and its romaji, in one rough romanisation; the rest as it is.

    Long vowels and double consonants count once, so that the usual systems fall together.
    """
    kana = unicodedata.normalize("NFKC", stream_safe(text)).lower().translate(_TO_HIRAGANA)
    told: list[str] = []
    for character in kana:
        if character in _SMALL and told and told[-1].endswith("i"):
            told[-1] = told[-1][:-1] + _SMALL[character]
        elif character == "っ":
            continue
        else:
            told.append(_KANA.get(character, character))  # what is no kana stands for itself
    plain = "".join(told)
    for pattern, spelling in _SPELLINGS:
        plain = pattern.sub(spelling, plain)
    return plain

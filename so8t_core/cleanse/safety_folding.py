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
_OBFUSCATORS = re.compile(
    r"[\s・･_\-‐.,'`~^|/\\☆★♡♥※＊♪♦♣♠\u3099\u309a=+:;\"“”#()\[\]{}<>【】〔〕〈〉《》「」『』]"
)
_STRUCK = re.compile(r"[\u0300-\u0333\u0335-\u036f\u0489\u20d0-\u20f0]")
"""Strokes and dots over letters."""
_MASKED_SINGLY = re.compile(rf"\w(?:[{MASK}]\w){{2,}}[{MASK}]?")
_SINGLY = re.compile(r"(?<![^\s、。!?！？])\w(?:[、。!！?？]\w){2,}(?![^\s、。!?！？])")
_MARKS = re.compile("[、。!！?？]")
_PLAIN = (
    {code: code - 0x60 for code in range(0x30A1, 0x30F7)}  # katakana as hiragana
    | str.maketrans("~〜～", "ーーー")
    | str.maketrans("樂壯麻殺藥賣覺體惡", "楽壮麻殺薬売覚体悪")
    | str.maketrans("аеорсухіѕкмтвн", "aeopcyxiskmtbh")  # Cyrillic
)
_TORN = {
    "い谷": "俗",
    "たヒ": "死",
    "たひね": "死ね",
    "歹ひ": "死",
    "火暴": "爆",
    "弓単": "弾",
    "金充": "銃",
    "言乍": "詐",
    "貝反": "販",
    "糸売": "続",
    "禾重": "種",
    "米分": "粉",
    "女未": "妹",
    "人工口": "エロ",
}
"""Ideographs that were torn into their parts, as they look after katakana became hiragana."""
_TORN_ONES = re.compile("|".join(_TORN))
_ROWS = {
    "": "あいうえお",
    "k": "かきくけこ",
    "g": "がぎぐげご",
    "s": "さしすせそ",
    "z": "ざじずぜぞ",
    "t": "たちつてと",
    "d": "だぢづでど",
    "n": "なにぬねの",
    "h": "はひふへほ",
    "b": "ばびぶべぼ",
    "p": "ぱぴぷぺぽ",
    "m": "まみむめも",
    "r": "らりるれろ",
    "y": "やいゆえよ",
    "w": "わいうえを",
    "f": "ふふふふふ",
    "j": "じじじじじ",
    "sh": "しししせし",
    "ch": "ちちちちち",
    "ts": "つつつつつ",
}
_GLIDES = {"a": "や", "i": "", "u": "ゆ", "e": "え", "o": "よ"}
_SMALL = str.maketrans("ぁぃぅぇぉっゃゅょゎゕゖゑゐ", "あいうえおつやゆよわかけえい")
_LIKE_LATIN = str.maketrans("013457@$", "oieastas")
_AMONG_LATIN = re.compile("(?<=[a-z])[013457@$](?=[a-z])")
_LIKE_KANA = str.maketrans("久口工力夕卜二八1il", "くろえかたとにはいいい")
_AMONG_KANA = re.compile("(?<=[ぁ-ゖー])[久口工力夕卜二八1il](?=[ぁ-ゖー])")
_ROMAJI = re.compile(
    r"(?<![a-z])(?:(?:(?:k(?=k)|s(?=s)|t(?=t)|p(?=p))?(?:[kgsznbpmrhj]y?|sh|ch|ts|t|d|f|y|w)[aiueo]|[aiueo]|n(?![aiueoy]))){3,}(?![a-z])"
)
_SYLLABLE = re.compile(
    r"(k(?=k)|s(?=s)|t(?=t)|p(?=p))?([kgsznbpmrhj]y?|sh|ch|ts|t|d|f|y|w)?([aiueo])|n(?![aiueoy])"
)


def fold(text: str) -> str:
    """NFKC, lower case, hiragana of one size, without what is put between letters to hide a word.

    Ideographs and digits that stand for the kana or Latin letters which they look like are those,
    and so are kana in Latin letters.
    """
    text = _INVISIBLE.sub("", text).replace("゛", "\u3099").replace("゜", "\u309a")
    folded = unicodedata.normalize("NFKC", text).lower().translate(_PLAIN)
    folded = _STRUCK.sub("", folded)
    folded = _SINGLY.sub(lambda found: _MARKS.sub("", found[0]), folded)
    folded = _ROMAJI.sub(_in_kana, folded)
    folded = _OBFUSCATORS.sub("", _MASKS.sub(MASK, folded)).translate(_SMALL)
    folded = _MASKED_SINGLY.sub(lambda found: found[0].replace(MASK, ""), folded)
    folded = _AMONG_LATIN.sub(lambda found: found[0].translate(_LIKE_LATIN), folded)
    folded = _TORN_ONES.sub(lambda found: _TORN[found[0]], folded)
    return _AMONG_KANA.sub(lambda found: found[0].translate(_LIKE_KANA), folded)


def _in_kana(found: re.Match[str]) -> str:
    """Kana that were written in Latin letters; letters that are no such writing stay."""
    kana = []
    for syllable in _SYLLABLE.finditer(found[0]):
        double, consonant, vowel = syllable.groups()
        kana.append("ん" if vowel is None else ("っ" if double else "") + _kana(consonant, vowel))
    return "".join(kana)


def _kana(consonant: str | None, vowel: str) -> str:
    """One syllable in hiragana."""
    sound = consonant or ""
    if sound in ("j", "sh", "ch") or (len(sound) == 2 and sound[1] == "y"):
        row = _ROWS[sound if sound in _ROWS else sound[0]]
        return row[1] + ("" if vowel == "i" else _GLIDES[vowel])
    return _ROWS[sound]["aiueo".index(vowel)]


def folded_pattern(pattern: str) -> str:
    """An expression over hiragana, as it meets the folded view."""
    return pattern.translate(_SMALL)

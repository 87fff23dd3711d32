"""Normalisation of Japanese text, and signs that it was decoded wrongly."""

from __future__ import annotations

import re
import unicodedata

_WAVE_DASH = "〜"
_COMPATIBILITY = re.compile(
    "["
    "\u3000"  # ideographic space
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"  # full-width digits and Latin letters
    "\uff66-\uff9f"  # half-width katakana (with its marks, so that they compose)
    "\uff61-\uff65"  # half-width punctuation
    "\u2f00-\u2fd5"  # Kangxi radicals that stand for ideographs
    "\uf900-\ufaff"  # compatibility ideographs
    "\u3300-\u33ff\u32d0-\u32ff"  # squared words and units
    "\ufb00-\ufb06"  # Latin ligatures
    "]+"
)
_DROPPED = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls but tab, line feed, return, next line
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
    "\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff"  # private use, noncharacters
    "]"
)
_LINE_BREAK = re.compile("\r\n|[\r\x85\u2028\u2029]")
_BLANKS = re.compile("[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f]+")
_NO_LETTERS = re.compile(r"[\W_]+")
_MANY_NEWLINES = re.compile(r"\n{3,}")

_REPLACEMENT = "\ufffd"
_MOJIBAKE = (
    # (characters that give a wrong decoding away, share of the text that is too much)
    (re.compile(_REPLACEMENT), 0.005),
    (re.compile("[縺繧繝]"), 0.03),  # UTF-8 read as Shift_JIS
    (re.compile("ã[\x80-\xbf\u2018-\u2122\u0152-\u0192]?"), 0.03),  # UTF-8 read as Latin-1
    (re.compile("[‚ƒ„][\x00-\uffff]"), 0.03),  # Shift_JIS read as Windows-1252
    (re.compile("[¤¥][\u00a1-\u00fe]"), 0.03),  # EUC-JP read as Latin-1
    (re.compile("[\x80-\x84\x86-\x9f]"), 0.01),  # C1 controls
    (re.compile("[\uff66-\uff9f]"), 0.35),  # EUC-JP read as Shift_JIS
)


def normalise(text: str) -> str:
    """One form for one text.

    NFC everywhere; NFKC only for what is a mere variant of a plain letter (full-width letters and
    digits, half-width katakana, squared words), since NFKC would turn 10² into 102, ① into 1 and
    … into three dots. Full-width punctuation stays; ～ (U+FF5E) becomes 〜 (U+301C). Control,
    bidi, zero-width and private characters go; lines are stripped and runs of blanks collapsed.
    """
    text = _LINE_BREAK.sub("\n", text)
    text = _DROPPED.sub("", text)
    text = text.replace("\uff5e", _WAVE_DASH)
    text = _COMPATIBILITY.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    text = unicodedata.normalize("NFC", text)
    text = _BLANKS.sub(" ", text)
    text = "\n".join(line.strip() for line in text.split("\n"))
    return _MANY_NEWLINES.sub("\n\n", text).strip()


def one_line(text: str) -> str:
    """The normalised text on a single line: for titles, headings and questions."""
    return " ".join(normalise(text).split())


def is_mojibake(raw: str) -> bool:
    """Whether the text, as decoded and before `normalise`, shows the marks of a wrong charset."""
    if not raw:
        return False
    return any(len(marks.findall(raw)) > share * len(raw) for marks, share in _MOJIBAKE)


def comparable(text: str) -> str:
    """The letters and digits alone, NFKC and lower case: what duplicates are compared by."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return _NO_LETTERS.sub("", folded)

"""Masking of personal and confidential data by typed placeholders.

Detectors look at a folded view of the text (full-width and kanji digits as ASCII, all dashes
as one), which is as long as the text, so that a place found in the one is a place in the other.
Nothing of a masked value leaves this module: only the types are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from so8t_core.cleanse.pii_rules import FIELD_END, Span, find_all
from so8t_core.contract.labels import PersonalData as Kind

PLACEHOLDERS: dict[Kind, str] = {
    Kind.PRIVATE_KEY: "〔秘密鍵〕",
    Kind.SECRET: "〔認証情報〕",
    Kind.CREDENTIAL_URL: "〔認証情報付きURL〕",
    Kind.EMAIL: "〔メールアドレス〕",
    Kind.CARD: "〔カード番号〕",
    Kind.MY_NUMBER: "〔個人番号〕",
    Kind.CORPORATE_NUMBER: "〔法人番号〕",
    Kind.DRIVING_LICENCE: "〔運転免許証番号〕",
    Kind.PASSPORT: "〔旅券番号〕",
    Kind.OFFICIAL_NUMBER: "〔公的番号〕",
    Kind.BANK_ACCOUNT: "〔口座番号〕",
    Kind.PHONE: "〔電話番号〕",
    Kind.POSTAL_CODE: "〔郵便番号〕",
    Kind.ADDRESS: "〔住所〕",
    Kind.NAME: "〔氏名〕",
    Kind.BIRTHDAY: "〔生年月日〕",
    Kind.IP_ADDRESS: "〔IPアドレス〕",
}

_URL_PART = re.compile("([/?#&;])")
_LEAST_VALUE = 6  # characters of a value that is masked wherever it stands again
_LEAST_NAME = 3

_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_FOLDED = str.maketrans(
    {chr(0xFF01 + place): chr(0x21 + place) for place in range(94)}
    | {chr(0x1D7CE + place): chr(0x30 + place % 10) for place in range(50)}
    | dict.fromkeys("‐‑‒–—―−﹣－ｰ─━⁃˗﹘⁻₋", "-")
    | dict.fromkeys("\u3000\u00a0\u2002\u2003\u2009\u202f", " ")
    | dict.fromkeys("〔〈《【", "[")
    | dict.fromkeys("〕〉》】", "]")
)
_KANJI_DIGITS = str.maketrans("〇零○◯一二三四五六七八九", "0000123456789")
_KANJI_DIGIT = "[〇零○◯一二三四五六七八九]"
_LONG_KANJI_NUMBER = re.compile(
    rf"{_KANJI_DIGIT}(?:の?{_KANJI_DIGIT}){{6,}}|{_KANJI_DIGIT}(?:[ ・-]{{0,2}}{_KANJI_DIGIT})+"
    "|[〇零○◯一二三四五六七八九0-9]{2,}"
)
_NO_NUMBER = frozenset("○◯の ・-")
_LONG_VOWEL_BETWEEN = re.compile("(?<=[0-9])ー(?=[0-9])")


@dataclass(frozen=True)
class Masked:
    """Texts without personal data, and how many different values of each type they had."""

    texts: tuple[str, ...]
    counts: dict[str, int]


def fold(text: str) -> str:
    """The view that detectors search; exactly as long as `text`."""
    view = text.translate(_FOLDED)
    view = _LONG_KANJI_NUMBER.sub(_as_digits, view)
    return _LONG_VOWEL_BETWEEN.sub("-", view)


def _as_digits(found: re.Match[str]) -> str:
    """Kanji digits as ASCII; circles alone stand for anything and stay."""
    number = found[0]
    return number if _NO_NUMBER.issuperset(number) else number.translate(_KANJI_DIGITS)


def mask(texts: Sequence[str]) -> Masked:
    """Mask the fields of one page together.

    A label in one field (a question for a telephone number) thus tells what a bare number in the
    next one is, and a value found once is masked wherever it stands again. A match never swallows
    the border between two fields. Invisible characters, which may hide a value, go.
    """
    if not texts:
        return Masked((), {})
    joined = FIELD_END.join(_INVISIBLE.sub("", text).replace(FIELD_END, " ") for text in texts)
    spans = _without_overlaps(find_all(fold(joined)))
    counts = Counter(kind for kind, _ in {(s.kind, joined[s.start : s.end]) for s in spans})
    pieces: list[str] = []
    end = 0
    for span in _without_overlaps([*spans, *_found_again(joined, spans)]):
        pieces += [joined[end : span.start], PLACEHOLDERS[span.kind]]
        pieces.append(FIELD_END * joined[span.start : span.end].count(FIELD_END))
        end = span.end
    pieces.append(joined[end:])
    masked = tuple("".join(pieces).split(FIELD_END))
    return Masked(masked, {kind.value: count for kind, count in sorted(counts.items())})


def _found_again(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Other places of the values, where no label stands near; very short values are left out."""
    kinds = {text[span.start : span.end]: span.kind for span in spans}
    values = [
        value
        for value, kind in kinds.items()
        if len(value) >= (_LEAST_NAME if kind is Kind.NAME else _LEAST_VALUE)
    ]
    if not values:
        return
    again = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))))
    for found in again.finditer(text):
        yield Span(kinds[found[0]], found.start(), found.end())


def mask_url(url: str) -> str:
    """A URL without personal data.

    Credentials, e-mail addresses and secrets go everywhere, every other type from the query and the
    fragment alone: numbers in paths are dates and names of articles. Percent-encoded parts are
    searched as they read and are written out when something was masked.
    """
    kept = (Kind.CREDENTIAL_URL, Kind.EMAIL, Kind.SECRET)
    spans = [span for span in find_all(fold(url)) if span.kind in kept]
    for span in reversed(_without_overlaps(spans)):
        url = url[: span.start] + PLACEHOLDERS[span.kind] + url[span.end :]
    parts = _URL_PART.split(url)
    in_query = False
    for place, part in enumerate(parts):
        in_query = in_query or part in ("?", "#")
        masked = mask([_readable(part)]) if len(part) > 1 else Masked((), {})
        if any(in_query or Kind(kind) in kept for kind in masked.counts):
            parts[place] = masked.texts[0]
    return "".join(parts)


def _readable(part: str) -> str:
    """A part of a URL as it reads: percent-decoded, and + as a blank in values."""
    name, equals, value = part.partition("=")
    return unquote(name) + equals + unquote(value.replace("+", " ") if equals else value)


def _without_overlaps(spans: Sequence[Span]) -> list[Span]:
    """By place; where two overlap, the type that stands first in `Kind` wins."""
    order = {kind: rank for rank, kind in enumerate(Kind)}
    covered = bytearray(max((span.end for span in spans), default=0))
    taken: list[Span] = []
    for span in sorted(spans, key=lambda span: (order[span.kind], span.start, -span.end)):
        if not any(covered[span.start : span.end]):
            covered[span.start : span.end] = b"\x01" * (span.end - span.start)
            taken.append(span)
    return sorted(taken, key=lambda span: span.start)

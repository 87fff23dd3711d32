"""What a page says about its licence, and what the policy makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from so8t_core.contract.settings.crawl_policy import (
    LicenceDecision,
    LicenceSettings,
    SourceSettings,
)
from so8t_core.crawl.masking import mask, mask_url

MarkKind = Literal["rel-license", "json-ld", "rdfa", "meta", "link", "footer"]

_CC_URL = re.compile(
    r"creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)(?:/([a-z]{2})(?=/|$))?", re.I
)
_CC_TEXT = re.compile(r"\bCC[ -](BY(?:-NC)?(?:-ND|-SA)?)(?:[ -](\d\.\d))?", re.I)
_PUBLIC_URL = re.compile(r"creativecommons\.org/publicdomain/(zero|mark)/(\d\.\d)", re.I)
_CC0_TEXT = re.compile(r"\bCC0(?:[ -](\d\.\d))?", re.I)
_GNU_URL = re.compile(
    r"gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?(a?gpl|lgpl|fdl)(?:-(\d\.\d))?", re.I
)
_PDL = re.compile(r"公共データ利用規約.{0,3}第\s*(\d\.\d)\s*版")
_JGSL = re.compile(r"政府標準利用規約.{0,3}第\s*(\d\.\d)\s*版")
_COPYING = r"(?:転載|複製|複写|転用|引用|使用|利用|コピー)"
_FORBIDDEN = r"(?:禁(?:止|じ|ず)|お断り|ご遠慮|不可|認め(?:ません|ない))"
_WITHDRAWN = r"(?!(?:て|されて|して|する(?:もの)?では|では)(?:い|あり)?(?:ません|ない))"
_PROHIBITION = re.compile(
    rf"無断.{{0,8}}?{_COPYING}[^。]{{0,24}}?{_FORBIDDEN}{_WITHDRAWN}"
    rf"|(?:転載|複製|複写)[^。自可歓OＯ○]{{0,16}}?{_FORBIDDEN}{_WITHDRAWN}"
    r"|禁\s?(?:無断)?(?:転載|複製|複写)|不許複製"
)
_RESERVED = re.compile(r"all\s+rights?\s+reserved", re.I)
_HINT = re.compile(
    r"creativecommons\.org|gnu\.org|\bCC[ -]?(?:BY|0)|利用規約|無断|転載|複製|複写"
    r"|rights?\s+reserved",
    re.I,
)
"""Part of everything that `identify` knows; most links have none of it."""
HINT_WORDS = (
    *(
        "creativecommons.org",
        "gnu.org",
        "cc by",
        "cc-by",
        "cc0",
        "cc 0",
        "cc-0",
        "利用規約",
        "無断",
    ),
    *("転載", "複製", "複写", "reserved"),
)
"""The same in words, in lower case: a page with none of them names no licence in links or words."""
PROHIBITED_ID = "reproduction-prohibited"
RESERVED_ID = "all-rights-reserved"
WORDS = (PROHIBITED_ID, RESERVED_ID)
"""Ids of what is said in words where no licence is named."""
_STRICTNESS: dict[LicenceDecision, int] = {
    "unknown": 0,
    "allow": 1,
    "allow-noncommercial": 2,
    "deny": 3,
}
_EVIDENCE_CHARS = 160
_UNKNOWN_WORDS = "words that name no known licence"

Patterns = tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """One licence mark on a page: where it stands, and its URL or words."""

    kind: MarkKind
    value: str


@dataclass(frozen=True)
class Licence:
    """The licence of a page.

    `id` is SPDX-like, `reproduction-prohibited` where copying is forbidden in words,
    `all-rights-reserved` for that phrase alone, `other` for a mark that is not recognised, `none`
    without any mark. `url` is the mark's URL or empty; `evidence` says where it stands and quotes
    that URL, or the words that name the licence: not what stands around them, such as names.
    """

    id: str
    url: str
    evidence: str
    decision: LicenceDecision


def identify(value: str) -> str:
    """The id of the licence that a URL or a statement names; `other` where none is recognised."""
    return _recognise(value)[0]


def quoted(value: str) -> str:
    """The words of a statement that name its licence; nothing else of it, such as its author."""
    return _recognise(value)[1]


def _recognise(value: str) -> tuple[str, str]:
    """Id and words of the licence that is named; `other` and no words where none is recognised."""
    if not _HINT.search(value):
        return "other", ""
    for pattern, name in _NAMED:
        if found := pattern.search(value):
            return name(found), found.group()
    return "other", ""


def _creative(found: re.Match[str]) -> str:
    port = f"-{found.group(3).upper()}" if found.group(3) else ""
    return f"CC-{found.group(1).upper()}-{found.group(2)}{port}"


def _public(found: re.Match[str]) -> str:
    return f"CC0-{found.group(2)}" if found.group(1) == "zero" else f"CC-PDM-{found.group(2)}"


def _gnu(found: re.Match[str]) -> str:
    name = {"fdl": "GFDL"}.get(found.group(1).lower(), found.group(1).upper())
    return f"{name}-{found.group(2) or 'any'}"


_NAMED: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_CC_URL, _creative),
    (_PUBLIC_URL, _public),
    (_GNU_URL, _gnu),
    (_CC_TEXT, lambda found: f"CC-{found.group(1).upper()}-{found.group(2) or 'any'}"),
    (_CC0_TEXT, lambda found: f"CC0-{found.group(1) or 'any'}"),
    (_PDL, lambda found: f"PDL-{found.group(1)}"),
    (_JGSL, lambda found: f"JGSL-{found.group(1)}"),
    (_PROHIBITION, lambda _: PROHIBITED_ID),
    (_RESERVED, lambda _: RESERVED_ID),
)
"""Asked in this order; the first that is found counts."""


def decide(licence_id: str, policy: LicenceSettings) -> LicenceDecision:
    """What the policy says of a licence id; `unknown` where no pattern names it."""
    return _decide(licence_id, policy.deny, policy.allow_noncommercial, policy.allow)


@lru_cache(maxsize=1024)
def _decide(
    licence_id: str, deny: Patterns, allow_noncommercial: Patterns, allow: Patterns
) -> LicenceDecision:
    if any(fnmatchcase(licence_id, pattern) for pattern in deny):
        return "deny"
    if any(fnmatchcase(licence_id, pattern) for pattern in allow_noncommercial):
        return "allow-noncommercial"
    if any(fnmatchcase(licence_id, pattern) for pattern in allow):
        return "allow"
    return "unknown"


def given(source: SourceSettings, policy: LicenceSettings) -> Licence:
    """The licence that a source's terms give to all of its pages."""
    evidence = f"terms of {source.name}: {source.terms}"
    decision = decide(source.licence, policy)
    return Licence(source.licence, source.terms, evidence[:_EVIDENCE_CHARS], decision)


def _url_of(mark: Mark) -> str:
    return mask_url(mark.value) if mark.value.startswith(("http://", "https://")) else ""


def judge(marks: Iterable[Mark], policy: LicenceSettings) -> Licence:
    """The licence of a page from its marks: of several decisions the strictest counts.

    Words that reserve all rights or forbid copying count only where no licence is named: on a page
    under an open licence they speak of what lies around the text.
    """
    found = [
        Licence(
            id=(name := identify(mark.value)),
            url=(url := _url_of(mark)),
            evidence=f"{mark.kind}: {url or mask(quoted(mark.value)) or _UNKNOWN_WORDS}"[
                :_EVIDENCE_CHARS
            ],
            decision=decide(name, policy),
        )
        for mark in marks
    ]
    if not found:
        return Licence("none", "", "", decide("none", policy))
    if any(licence.id not in (*WORDS, "other") for licence in found):
        found = [licence for licence in found if licence.id not in WORDS]
    return max(found, key=lambda licence: _STRICTNESS[licence.decision])

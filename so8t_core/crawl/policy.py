"""What a page's owner permits: X-Robots-Tag, meta robots, and words on training."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from so8t_core.contract.settings.crawl_policy import LicenceSettings
from so8t_core.crawl.licence import Licence
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.reservations import reserves
from so8t_core.crawl.robots import training_rules

_HONOURED = ("noindex", "nofollow", "noarchive", "noai", "noimageai", "noml")
_REFUSING = (
    *(
        "noindex",
        "noarchive",
        "noai",
        "noml",
        "tdm-reservation",
        "content-usage",
        "unavailable-after",
    ),
)
_AROUND = " \t\r\n\"'“”‘’「」"
_COMMA = "\0"
_APART = re.compile(r"[;\s]+")
_UNAVAILABLE = "unavailable_after"
_DATE = re.compile(
    rf"{_UNAVAILABLE}\s*:(.*?)(?=,\s*(?:no|all|max-|index|follow|unavail|[\w-]+\s*:)|$)",
    re.I | re.S,
)
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)

Directives = Mapping[str, str]
"""Each directive that applies to us, with where it stands."""


def page_directives(
    headers: Iterable[tuple[str, str]],
    metas: Iterable[tuple[str, str]],
    token: str,
    now: datetime | None = None,
    ai_tokens: tuple[str, ...] = (),
) -> Directives:
    """The directives of a page from its HTTP headers and its (name, content) meta elements.

    Those addressed to another crawler are left out, but not those to `ai_tokens`, crawlers that
    gather text for training. Metas may stand for headers (http-equiv). `unavailable_after` applies
    when its date is past at `now` (default: today) or cannot be read. Source: Google's robots meta
    specification; DeviantArt's noai; the TDM Reservation Protocol, sections 4.1 and 4.2; the IETF's
    draft on attaching usage preferences; Mojeek's noml.
    """
    ours = frozenset(map(str.lower, (token, *ai_tokens)))
    found: dict[str, str] = {}
    moment = now or datetime.now(UTC)
    for name, value in headers:
        lowered = name.lower()
        if lowered == "x-robots-tag":
            for word in _addressed(value, ours, moment):
                found.setdefault(word, "X-Robots-Tag")
        elif lowered == "tdm-reservation" and reserves(value):
            found.setdefault("tdm-reservation", "tdm-reservation header")
        elif lowered in ("content-usage", "content-signal") and _forbids_training(value):
            found.setdefault("content-usage", f"{name} header")
    for name, value in metas:
        lowered = name.lower()
        if lowered == "robots" or lowered in ours:
            for word in _expanded(_split(value), moment):
                found.setdefault(word, f"meta {lowered}")
        elif lowered == "x-robots-tag":
            for word in _addressed(value, ours, moment):
                found.setdefault(word, "meta x-robots-tag")
        elif lowered == "tdm-reservation" and reserves(value):
            found.setdefault("tdm-reservation", "meta tdm-reservation")
    return MappingProxyType(found)


def refuse_page(
    directives: Directives, licence: Licence, policy: LicenceSettings
) -> Refusal | None:
    """Why a page must not be kept, or None."""
    for rule in _REFUSING:
        if rule in directives:
            return Refusal(rule, directives[rule])
    if licence.decision not in policy.keep:
        return Refusal(f"licence-{licence.decision}", licence.evidence or "no mark", licence.id)
    return None


def _forbids_training(value: str) -> bool:
    return any(field == "disallow" for field, _ in training_rules(value))


def _split(value: str) -> list[str]:
    """The words of a directive list; the commas of a date don't count."""
    return _DATE.sub(lambda found: found.group().replace(",", _COMMA), value).split(",")


def _addressed(value: str, tokens: frozenset[str], now: datetime) -> Iterable[str]:
    """The words of an X-Robots-Tag that speak to everyone or to one of our tokens."""
    ours = True
    words = []
    for part in _split(value):
        name, colon, rest = part.partition(":")
        if colon and name.strip().lower() not in _WITH_VALUE:
            agent = name.strip().lower().partition("/")[0]
            ours = agent in ("*", "robots") or agent in tokens
            part = rest
        if ours:
            words.append(part)
    return _expanded(words, now)


def _expanded(words: Iterable[str], now: datetime) -> Iterable[str]:
    for word in words:
        plain = unicodedata.normalize("NFKC", word).strip(_AROUND).lower()
        if not plain.startswith(_UNAVAILABLE) and len(parts := _APART.split(plain)) > 1:
            yield from _expanded(parts, now)  # written without commas, which owners do
        elif plain == "none":
            yield from ("noindex", "nofollow")
        elif plain in _HONOURED:
            yield plain
        elif plain.startswith(_UNAVAILABLE) and _is_past(plain.partition(":")[2].strip(), now):
            yield "unavailable-after"


def _is_past(text: str, now: datetime) -> bool:
    """Whether a date is past; one that cannot be read is, since its owner set a limit."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.replace(_COMMA, ",").upper())
        except (ValueError, OverflowError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= now
    return True

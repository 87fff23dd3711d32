"""What a page's owner permits: X-Robots-Tag, meta robots, and the TDM reservation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from so8t_core.contract.settings.crawl import LicenceSettings
from so8t_core.crawl.licence import Licence
from so8t_core.crawl.scope import Refusal

_HONOURED = ("noindex", "nofollow", "noarchive", "noai", "noimageai")
_REFUSING = ("noindex", "noarchive", "noai", "tdm-reservation")
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)

Directives = Mapping[str, str]
"""Each directive that applies to us, with where it stands."""


def page_directives(
    headers: Iterable[tuple[str, str]], metas: Iterable[tuple[str, str]], token: str
) -> Directives:
    """The directives of a page from its HTTP headers and its (name, content) meta elements.

    Those addressed to another crawler are left out. Source: Google's robots meta specification;
    DeviantArt's noai; the TDM Reservation Protocol, sections 4.1 and 4.2.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered == "x-robots-tag":
            for word in _addressed(value, token.lower()):
                found.setdefault(word, "X-Robots-Tag")
        elif lowered == "tdm-reservation" and value.strip() == "1":
            found.setdefault("tdm-reservation", "tdm-reservation header")
    for name, value in metas:
        lowered = name.lower()
        if lowered in ("robots", token.lower()):
            for word in _expanded(value.split(",")):
                found.setdefault(word, f"meta {lowered}")
        elif lowered == "tdm-reservation" and value.strip() == "1":
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


def _addressed(value: str, token: str) -> Iterable[str]:
    """The words of an X-Robots-Tag that speak to everyone or to us."""
    ours = True
    words = []
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip().lower() not in _WITH_VALUE:
            ours = name.strip().lower() in ("*", token)
            part = rest
        if ours:
            words.append(part)
    return _expanded(words)


def _expanded(words: Iterable[str]) -> Iterable[str]:
    for word in words:
        plain = word.strip().lower()
        if plain == "none":
            yield from ("noindex", "nofollow")
        elif plain in _HONOURED:
            yield plain

"""What becomes of a fetched page: kept or refused, and which links are followed."""

from __future__ import annotations

from dataclasses import dataclass

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.contract.settings.crawl_policy import SourceSettings
from so8t_core.crawl.charset import Decoded, decode
from so8t_core.crawl.licence import WORDS, Licence, given, judge
from so8t_core.crawl.nesting import too_nested
from so8t_core.crawl.page import Page, read_page
from so8t_core.crawl.policy import Directives, page_directives, refuse_page
from so8t_core.crawl.refusal import Refusal

UNREADABLE = (ArithmeticError, LookupError, RecursionError, ValueError)
"""What a page may do to its reader: it ends that page and nothing else (`unread`)."""
_WHY_CHARS = 200
_HTML_STARTS = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<!--")


@dataclass(frozen=True)
class Assessment:
    """A page read and judged. `refusal` is None where it may be kept."""

    decoded: Decoded
    page: Page
    directives: Directives
    licence: Licence
    refusal: Refusal | None

    @property
    def may_follow(self) -> bool:
        """Whether the page lets its links be followed."""
        return "nofollow" not in self.directives


def assess(
    url: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    settings: CrawlSettings,
    source: SourceSettings | None = None,
) -> Assessment:
    """Read a page and judge it by its owner's directives and its licence.

    The licence that the terms of its `source` give counts where the page itself names none.
    """
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    decoded = decode(body, content_type)
    if why := too_nested(decoded.text):
        empty, none = Page("", url, None, (), 0, (), (), ()), judge((), settings.licences)
        return Assessment(decoded, empty, {}, none, Refusal("too-nested", "reader", why))
    page = read_page(decoded.text, url, settings.max_page_links)
    directives = page_directives(
        headers, page.metas, settings.product_token, ai_tokens=settings.ai_tokens
    )
    licence = judge(page.marks, settings.licences)
    if licence.id in ("none", *WORDS[1:]) and source is not None and source.licence:
        licence = given(source, settings.licences)
    refusal = refuse_page(directives, licence, settings.licences)
    return Assessment(decoded, page, directives, licence, refusal)


def unread(error: Exception) -> Refusal:
    """That a page could not be read (one of `UNREADABLE`)."""
    why = f"{type(error).__name__}: {error}"[:_WHY_CHARS]
    return Refusal("unread", "reader", why.encode("utf-8", "replace").decode("utf-8"))


def refuse_media(media_type: str, body: bytes, settings: CrawlSettings) -> Refusal | None:
    """Why a body is no page: its media type, or, where none is given, its first bytes."""
    if media_type in settings.content_types:
        return None
    if not media_type and body.lstrip()[:64].lower().startswith(_HTML_STARTS):
        return None
    return Refusal("content-type", "Content-Type header", media_type or "missing")

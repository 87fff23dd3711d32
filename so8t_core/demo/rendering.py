"""From a page's Markdown to the bytes that the server sends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.deflist import deflist_plugin

from so8t_core.demo.source import Host, Licence, Page
from so8t_core.demo.structured import json_ld

_CHARSET_NAMES = {
    "utf-8": "UTF-8",
    "cp932": "Shift_JIS",
    "euc_jp": "EUC-JP",
    "iso2022_jp": "ISO-2022-JP",
}
LICENCE_URLS: dict[Licence, str] = {
    "cc-by": "https://creativecommons.org/licenses/by/4.0/deed.ja",
    "cc-by-sa": "https://creativecommons.org/licenses/by-sa/4.0/deed.ja",
    "cc0": "https://creativecommons.org/publicdomain/zero/1.0/deed.ja",
    "cc-by-nc-nd": "https://creativecommons.org/licenses/by-nc-nd/4.0/deed.ja",
}


@dataclass(frozen=True)
class Document:
    """What a URL answers with status 200."""

    body: bytes
    content_type: str
    last_modified: str
    x_robots: str = ""

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


def markdown() -> MarkdownIt:
    """CommonMark with tables and definition lists; HTML passes through, as the pages are ours."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").use(deflist_plugin)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def http_date(day: date) -> str:
    """Midnight UTC of a day in the form of RFC 9110, section 5.6.7."""
    return format_datetime(datetime.combine(day, time(), UTC), usegmt=True)


def render_page(page: Page, host: Host) -> Document:
    """The page in its host's template and its own charset.

    Raises UnicodeEncodeError when the text does not fit the charset that its front matter names.
    """
    if page.meta.copy_of:
        original = next(other for other in host.pages if other.path == page.meta.copy_of)
        return render_page(original, host)
    charset = _CHARSET_NAMES[page.meta.charset]
    html = (
        _environment()
        .get_template(host.meta.template)
        .render(
            page=page,
            host=host,
            content=Markup(markdown().render(page.body)),  # noqa: S704 -- the pages are ours
            charset=charset if page.meta.charset_declared == "meta" else "",
            json_ld=Markup(json_ld(page, markdown(), LICENCE_URLS.get(host.licence_of(page)))),  # noqa: S704
            licence=host.licence_of(page),
            licence_url=LICENCE_URLS.get(host.licence_of(page)),
            sections=_sections(host),
            listed=_listed(page, host),
            neighbours=_neighbours(page, host),
        )
    )
    in_header = page.meta.charset_declared == "header"
    return Document(
        body=html.encode(page.meta.charset),
        content_type=f"text/html; charset={charset}" if in_header else "text/html",
        last_modified=http_date(page.meta.updated),
        x_robots=page.meta.x_robots,
    )


def _sections(host: Host) -> list[Page]:
    """What the menu shows: the folders right below the root."""
    return [
        page
        for page in host.pages
        if page.is_index and page.path.count("/") == 2 and page.meta.access != "nofollow"
    ]


def _listed(page: Page, host: Host) -> list[Page]:
    """What an index lists: the pages of its folder that links may reach."""
    if not page.is_index:
        return []
    return [
        other
        for other in host.pages
        if other.folder == page.path and not other.is_index and other.meta.access != "sitemap"
    ]


def _neighbours(page: Page, host: Host) -> list[Page]:
    """The open pages before and after this one in its folder."""
    if page.is_index:
        return []
    siblings = [
        other
        for other in host.pages
        if other.folder == page.folder
        and not other.is_index
        and (other is page or other.meta.access == "open")
    ]
    at = siblings.index(page)
    return siblings[max(0, at - 1) : at] + siblings[at + 1 : at + 2]


def render_sitemap(host: Host) -> Document:
    """A sitemap of the pages that nothing keeps a crawler from."""
    entries = "".join(
        f"  <url><loc>{escape(page.url)}</loc><lastmod>{page.meta.updated}</lastmod></url>\n"
        for page in host.pages
        if page.meta.access in ("open", "sitemap")
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        f"{entries}</urlset>\n"
    )
    newest = max(page.meta.updated for page in host.pages)
    return Document(xml.encode(), "application/xml", http_date(newest))


def render_month(prefix: str, number: int, length: int) -> Document:
    """Link `number` (from 1) of an endless-looking chain of empty calendar months."""
    year, month = 2026 + (number - 1) // 12, (number - 1) % 12 + 1
    following = f'<a href="{prefix}{number + 1}">翌月</a>' if number < length else ""
    previous = f'<a href="{prefix}{number - 1}">前月</a>' if number > 1 else ""
    days = "".join(f"<td>{day}</td>" for day in range(1, 29))
    html = (
        f'<!DOCTYPE html><html lang="ja"><title>{year}年{month}月</title>'
        f"<p>{previous} {following}</p><table><tr>{days}</tr></table><p>予定なし</p></html>"
    )
    return Document(html.encode(), "text/html; charset=UTF-8", http_date(date(2026, 4, 1)))

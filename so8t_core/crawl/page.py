"""What crawling keeps of a page: links, canonical URL, robots meta, licence marks, title."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from so8t_core.crawl.licence import HINT_WORDS, WORDS, Mark, MarkKind, identify, quoted
from so8t_core.crawl.masking import clean_title
from so8t_core.crawl.url import BadUrl, canonicalise

_LINKS = "a[href], area[href], frame[src], iframe[src], meta[http-equiv]"
_METAS = "meta[name][content], meta[property][content], meta[http-equiv][content]"
# possessive: a long run of blanks is walked over once, not once for every way to share it out
_REFRESH = re.compile(r"^\s*+[\d.]*+\s*+[;,]?+\s*+url\s*+=\s*+['\"]?+([^'\"]+)", re.IGNORECASE)
_FOOTERS = (
    "footer, address, small, #footer, .footer, .license, .licence, "
    "[class*='copyright'], [id*='copyright']"
)
_MOST_METAS = 1_000
_MOST_MARKS = 500
_MOST_FEEDS = 100
_META_CHARS = 20_000
_NAME_CHARS = 100
_FOOTER_CHARS = 2000
_LEAST_FOOTERS = 16
_FOOTER_WORK_CHARS = 20_000_000
_FEED_TYPES = ("application/rss+xml", "application/atom+xml")


class Link(NamedTuple):
    """A link as it is written; `nofollow` when its own rel says so."""

    href: str
    nofollow: bool


@dataclass(frozen=True)
class Page:
    """What was read from a page. `base` is the URL that links and feeds are relative to."""

    title: str
    base: str
    canonical: str | None
    links: tuple[Link, ...]
    links_left_out: int
    feeds: tuple[str, ...]
    metas: tuple[tuple[str, str], ...]
    marks: tuple[Mark, ...]


def read_page(text: str, url: str, max_links: int = 5_000) -> Page:
    """Read a page's text; `url` is where it was found.

    Of links no more than `max_links` are read, of metas, feeds and licence marks no more than any
    page has a use for. What a page cannot have, since the word for it is nowhere in its text, is
    not looked for.
    """
    tree = LexborHTMLParser(text)
    words = text.lower()
    base = _base(tree, url) if "<base" in words else url
    canonical = tree.css_first("link[rel~='canonical'][href]") if "canonical" in words else None
    target = canonicalise(_attribute(canonical, "href"), base=base) if canonical else None
    title = tree.css_first("title")
    linking = tree.css(_LINKS)
    return Page(
        title=clean_title(title.text() if title else ""),
        base=base,
        canonical=None if isinstance(target, BadUrl) else target,
        links=tuple(_links(linking[:max_links])),
        links_left_out=max(0, len(linking) - max_links),
        feeds=tuple(_feeds(tree)) if "alternate" in words else (),
        metas=tuple(_metas(tree)),
        marks=tuple(dict.fromkeys(islice(_marks(tree, base, words), _MOST_MARKS))),
    )


def _attribute(node: LexborNode, name: str) -> str:
    return node.attributes.get(name) or ""


def _base(tree: LexborHTMLParser, url: str) -> str:
    """The document base URL: the first base element's, where it is a valid one."""
    node = tree.css_first("base[href]")
    target = canonicalise(_attribute(node, "href"), base=url) if node else url
    return url if isinstance(target, BadUrl) else target


def _links(nodes: Sequence[LexborNode]) -> Iterator[Link]:
    for node in nodes:
        if node.tag == "meta":
            if _attribute(node, "http-equiv").strip().lower() == "refresh":
                target = _REFRESH.match(_attribute(node, "content"))
                if target:
                    yield Link(target.group(1).strip(), nofollow=False)
            continue
        attributes = node.attributes
        href = attributes.get("href") or attributes.get("src") or ""
        yield Link(href, nofollow="nofollow" in (attributes.get("rel") or "").lower().split())


def _metas(tree: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    """Names and contents; what is called `property`, or `http-equiv` for a robots tag, counts too.

    An owner's wish may stand where nobody reads on: where there are more metas than any page has a
    use for, or one that speaks to robots is longer, the page is not to be kept.
    """
    nodes = tree.css(_METAS)
    for node in nodes[:_MOST_METAS]:
        attributes = node.attributes
        name = attributes.get("name") or attributes.get("property") or ""
        if (attributes.get("http-equiv") or "").strip().lower() == "x-robots-tag":
            name = "x-robots-tag"
        content = attributes.get("content") or ""
        yield name[:_NAME_CHARS].strip(), content[:_META_CHARS].strip()
        if len(content) > _META_CHARS:
            yield name[:_NAME_CHARS].strip(), "noindex"
    if len(nodes) > _MOST_METAS:
        yield "robots", "noindex"


def _feeds(tree: LexborHTMLParser) -> Iterator[str]:
    for node in tree.css("link[rel~='alternate'][href][type]")[:_MOST_FEEDS]:
        if _attribute(node, "type").strip().lower() in _FEED_TYPES:
            yield _attribute(node, "href")


def _marks(tree: LexborHTMLParser, base: str, words: str) -> Iterator[Mark]:
    if "license" in words:
        yield from _named_licences(tree, base)
    for name, content in _metas(tree):
        if name.lower() in ("dc.rights", "dcterms.rights", "dcterms.license", "dc.rights.license"):
            yield Mark("meta", content)
        elif name.lower() in ("copyright", "rights"):
            yield from _recognised("meta", iter((content,)))
    if not any(word in words for word in HINT_WORDS):
        return
    hrefs = (_attribute(a, "href") for a in tree.css("a[href]"))
    yield from _recognised("link", (href for href in hrefs if identify(href) not in WORDS))
    nodes = tree.css(_FOOTERS)
    most = max(_LEAST_FOOTERS, _FOOTER_WORK_CHARS // len(words))
    if len(nodes) > most:  # footers in one another: each text is as long as all below it
        nodes = nodes[: most // 2] + nodes[-most // 2 :]
    footers = (_ends(" ".join(node.text(separator=" ").split())) for node in nodes)
    yield from _recognised("footer", footers)


def _named_licences(tree: LexborHTMLParser, base: str) -> Iterator[Mark]:
    for node in tree.css("a[rel~='license'][href], link[rel~='license'][href]"):
        yield Mark("rel-license", _resolved(_attribute(node, "href"), base))
    for node in tree.css("script[type='application/ld+json']"):
        yield from (Mark("json-ld", value) for value in _json_ld_licences(node.text()))
    for node in tree.css("[property='cc:license'], [property='dct:license'], [itemprop='license']"):
        value = _attribute(node, "href") or _attribute(node, "content") or node.text()
        yield Mark("rdfa", _resolved(value, base))


def _ends(text: str) -> str:
    """The text without the middle of a very long one; words on copying often end a footer."""
    if len(text) <= 2 * _FOOTER_CHARS:
        return text
    return f"{text[:_FOOTER_CHARS]} {text[-_FOOTER_CHARS:]}"


def _recognised(kind: MarkKind, values: Iterator[str]) -> Iterator[Mark]:
    """Marks of weaker places count only where they name a licence that is known."""
    return (
        Mark(kind, value if kind == "link" else quoted(value))
        for value in values
        if identify(value) != "other"
    )


def _resolved(value: str, base: str) -> str:
    target = canonicalise(value, base=base)
    return value.strip() if isinstance(target, BadUrl) else target


def _json_ld_licences(text: str) -> Iterator[str]:
    """The `license` values of a JSON-LD block, at any depth; unreadable JSON has none."""
    try:
        pending: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(reversed(value))
        elif isinstance(value, dict):
            licence = value.get("license")
            for named in licence if isinstance(licence, list) else [licence]:
                target = named.get("@id") or named.get("url") if isinstance(named, dict) else named
                if isinstance(target, str) and target:  # JSON can hold halves of characters
                    yield target.encode("utf-8", "replace").decode("utf-8")
            pending.extend(reversed(list(value.values())))

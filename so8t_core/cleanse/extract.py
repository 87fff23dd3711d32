"""From HTML to body text, title and instruction pairs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

from so8t_core.cleanse.body import body_text
from so8t_core.cleanse.document import Pair
from so8t_core.cleanse.instruct import PageView, find_pairs
from so8t_core.cleanse.markup import node_text
from so8t_core.cleanse.page_facts import named_language, published
from so8t_core.cleanse.structured import read_json_ld
from so8t_core.cleanse.text import normalise, one_line
from so8t_core.contract.settings.cleanse import CleanseSettings

_MAX_TITLE_CHARACTERS = 300
_MOST_DEPTH = 1000
_LONG_TAG = re.compile("<([a-z][a-z0-9]*)[\\s/][^<>]{5000,}>", re.IGNORECASE)
"""A tag whose attributes go on for ever, over which the parser would take quadratic time."""
# elements that nest where their end is left out
_BLOCK_TAG = re.compile(
    "<(/?)(?:div|span|section|article|ul|ol|table|blockquote|font|b|i|em|strong|center)[ \t\r\n>]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Extracted:
    """What was read from a page, normalised; nothing is masked yet.

    `date` is the day on which the page says it was published (ISO 8601), `language` the one that
    its markup names (BCP 47, in lower case); both may be empty.
    """

    title: str
    text: str
    date: str
    language: str
    pairs: tuple[Pair, ...]
    broken_json_ld: int


def extract(html: str, url: str, settings: CleanseSettings) -> Extracted | None:
    """Read a page; None where it has no body text.

    A page that is nested more deeply than any that people write is no page: readers of the tree
    take quadratic time for it.
    """
    html = _LONG_TAG.sub(r"<\1>", html)
    if _nests_too_deeply(html):
        return None
    text = normalise(body_text(LexborHTMLParser(html)))
    if not any(map(str.isalnum, text)):
        return None
    tree = LexborHTMLParser(html)
    json_ld = read_json_ld(tree)
    return Extracted(
        title=_title(tree),
        text=text,
        date=published(tree, json_ld),
        language=named_language(tree),
        pairs=find_pairs(url, PageView(tree, json_ld), settings),
        broken_json_ld=json_ld.broken,
    )


def _nests_too_deeply(html: str) -> bool:
    """Whether so many elements are open at once, by their tags as they stand."""
    depth = 0
    for found in _BLOCK_TAG.finditer(html):
        depth = depth + 1 if found[1] != "/" else max(0, depth - 1)
        if depth > _MOST_DEPTH:
            return True
    return False


def _title(tree: LexborHTMLParser) -> str:
    """The only main heading where the title repeats it (which drops the site's name)."""
    node = tree.css_first("head title") or tree.css_first("title")
    title = one_line(node.text()) if node is not None else ""
    headings = [one_line(node_text(heading)) for heading in tree.css("h1")]
    if len(headings) == 1 and headings[0] and (not title or headings[0] in title):
        title = headings[0]
    return title[:_MAX_TITLE_CHARACTERS]

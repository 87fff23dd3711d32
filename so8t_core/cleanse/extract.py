"""From HTML to body text, title and instruction pairs."""

from __future__ import annotations

import re
from dataclasses import dataclass

import trafilatura
from selectolax.lexbor import LexborHTMLParser

from so8t_core.cleanse.document import Pair
from so8t_core.cleanse.instruct import PageView, find_pairs
from so8t_core.cleanse.markup import node_text
from so8t_core.cleanse.structured import read_json_ld
from so8t_core.cleanse.text import normalise, one_line
from so8t_core.contract.settings.cleanse import CleanseSettings

_MAX_TITLE_CHARACTERS = 300
_NAVIGATION_LINE = re.compile(r"\|?(?:[ ]*(?:\[[^\[\]\n]*\][ ]*)+\|?)+")
"""A line of nothing but bracketed link texts, as manuals have above and below each page."""


@dataclass(frozen=True)
class Extracted:
    """What was read from a page, normalised; nothing is masked yet."""

    title: str
    text: str
    pairs: tuple[Pair, ...]
    broken_json_ld: int


def extract(html: str, url: str, settings: CleanseSettings) -> Extracted | None:
    """Read a page; None where it has no body text.

    The body comes from trafilatura (its fast mode), everything else from the page's tree. Only a
    page with a body is parsed a second time: deep nesting, which the tree's readers take quadratic
    time for, leaves trafilatura without one.
    """
    body = trafilatura.extract(html, fast=True, include_comments=False, include_tables=True)
    text = _without_navigation(normalise(body)) if body else ""
    if not text:
        return None
    tree = LexborHTMLParser(html)
    json_ld = read_json_ld(tree)
    return Extracted(
        title=_title(tree),
        text=text,
        pairs=find_pairs(url, PageView(tree, json_ld), settings),
        broken_json_ld=json_ld.broken,
    )


def _without_navigation(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(line for line in lines if not _NAVIGATION_LINE.fullmatch(line)).strip()


def _title(tree: LexborHTMLParser) -> str:
    """The only main heading where the title repeats it (which drops the site's name)."""
    node = tree.css_first("head title") or tree.css_first("title")
    title = one_line(node.text()) if node is not None else ""
    headings = [one_line(node_text(heading)) for heading in tree.css("h1")]
    if len(headings) == 1 and headings[0] and (not title or headings[0] in title):
        title = headings[0]
    return title[:_MAX_TITLE_CHARACTERS]

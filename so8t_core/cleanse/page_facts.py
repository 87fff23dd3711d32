"""What a page says of itself: when it was published, and in which language it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from selectolax.lexbor import LexborHTMLParser

from so8t_core.cleanse.structured import JsonLd

_DATES = (
    "meta[property='article:published_time'], meta[itemprop='datePublished'], "
    "meta[name='date' i], meta[name='dc.date' i], meta[name='dcterms.created' i], "
    "time[itemprop='datePublished'], time[pubdate], time[datetime]"
)
_DAY = re.compile(r"^[ ]*([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9])")
_LANGUAGE = re.compile("[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")


def published(tree: LexborHTMLParser, json_ld: JsonLd) -> str:
    """The day as YYYY-MM-DD, from JSON-LD, meta elements or a time element; empty without one."""
    for written in _written_dates(tree, json_ld):
        found = _DAY.match(written)
        if found is None:
            continue
        try:
            return date(*map(int, found.groups())).isoformat()
        except ValueError:  # no such day
            continue
    return ""


def _written_dates(tree: LexborHTMLParser, json_ld: JsonLd) -> Iterator[str]:
    for item in json_ld.objects:
        value = item.get("datePublished")
        if isinstance(value, str):
            yield value
    for node in tree.css(_DATES):
        attributes = node.attributes
        yield attributes.get("content") or attributes.get("datetime") or ""


def named_language(tree: LexborHTMLParser) -> str:
    """The language of the `html` element, in lower case; empty where it names none."""
    root = tree.root
    named = (root.attributes.get("lang") or "") if root is not None else ""
    found = _LANGUAGE.fullmatch(named.strip().lower().replace("_", "-"))
    return found[0] if found else ""

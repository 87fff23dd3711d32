"""Pages that would keep their parser busy for hours: their tags, counted before they are read.

Parsers of HTML take quadratic time for elements in one another and for attributes of one element,
and cubic time, and as much memory, for formatting elements that are left open.
"""

from __future__ import annotations

import re
from collections import Counter

MAX_DEPTH = 1_000
MAX_ATTRIBUTES = 2_000
MAX_COPIES = 3_000_000

_HARMLESS_TAGS = 1_000
_HARMLESS_CHARS = 20_000
_TAG = re.compile(r"<(/?[a-z][a-z0-9:-]*)")
_NEVER_OPEN = frozenset(
    (
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"),
        *("source", "track", "wbr", "frame", "keygen", "bgsound"),
        *("p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot"),
        *("colgroup", "rb", "rt", "rtc", "rp", "html", "head", "body"),
    )
)
"""Elements without an end, and those that end where the next one of their kind begins."""
_FORMATTING = frozenset(
    (
        *("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong"),
        *("tt", "u"),
    )
)
"""Elements that, left open, are opened again in every block that follows."""


def too_nested(text: str) -> str:
    """Why a page's text is not to be parsed; empty where it may be.

    The tags are counted as they stand, without regard to scripts, comments and errors: a page that
    hides them can be deeper than it is found to be here, an honest one is not.
    """
    if text.count("<") <= _HARMLESS_TAGS and len(text) <= _HARMLESS_CHARS:
        return ""
    words = text.lower()
    for piece in words.split(">"):
        if len(piece) > _HARMLESS_CHARS:
            count = len(piece[piece.rfind("<") :].split())
            if count > MAX_ATTRIBUTES:
                return f"a tag with {count} attributes"
    open_now: Counter[str] = Counter()
    depth = formatting = copies = 0
    for name in _TAG.findall(words):
        if name[0] == "/":
            if open_now[name[1:]]:
                open_now[name[1:]] -= 1
                depth -= 1
                formatting -= name[1:] in _FORMATTING
            continue
        copies += formatting
        if name not in _NEVER_OPEN:
            open_now[name] += 1
            depth += 1
            formatting += name in _FORMATTING
        if depth > MAX_DEPTH:
            return f"more than {MAX_DEPTH} elements in one another"
        if copies > MAX_COPIES:
            return f"more than {MAX_COPIES} copies of formatting elements that are left open"
    return ""

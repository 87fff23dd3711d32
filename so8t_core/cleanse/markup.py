"""Plain text out of pieces of HTML."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

_BLANKS = re.compile(r"[ \t\r\n\f]+")
_BREAKS = re.compile(
    r"<br\b[^>]*>|</(?:p|div|li|ul|ol|dl|dt|dd|tr|table|pre|h[1-6]|section|article|blockquote)>",
    re.IGNORECASE,
)
_BETWEEN_JAPANESE = re.compile("(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")
_HIDDEN = "script, style, noscript, template, rt, rp"


def plain_text(fragment: str) -> str:
    """The text of an HTML fragment, a line for each block; text without tags is given back.

    A line break in the source between two Japanese characters is no blank.
    """
    if "<" not in fragment and "&" not in fragment:
        return fragment.strip()
    flat = _BLANKS.sub(" ", fragment)
    tree = LexborHTMLParser(_BREAKS.sub(lambda found: found[0] + "\n", flat))
    for node in tree.css(_HIDDEN):
        node.decompose()
    body = tree.body
    text = body.text() if body is not None else ""
    lines = (_BETWEEN_JAPANESE.sub("", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def node_text(node: LexborNode | None) -> str:
    """The text of an element, a line for each block; empty for None."""
    return plain_text(node.html or "") if node is not None else ""

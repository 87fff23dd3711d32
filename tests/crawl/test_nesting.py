"""What is counted of a page's tags is never less than what its parser makes of them."""

from __future__ import annotations

import random

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from so8t_core.crawl import nesting

_NAMES = (
    *("div", "span", "b", "a", "p", "li", "ul", "dd", "dl", "option", "optgroup", "select"),
    *("table", "td", "tr", "caption", "svg", "g", "path/", "math", "mi", "foreignobject", "desc"),
    *("title", "style", "script", "textarea", "xmp", "button", "object", "form", "template", "rt"),
    *("ruby", "h1", "x-y", "marquee", "annotation-xml", "frameset", "input", "plaintext"),
)
_ODD = (
    *("<!--", "-->", "<!-->", "--!>", "<!", "<?", ">", "</", "<p ='", "'", '"', '<a b="'),
    *("<![CDATA[", "]]>", "text", "<script><!--<script>", "</script>", "/>"),
)
_TIMES = 60
_DEPTH = 20


def _unit(chance: random.Random) -> str:
    def piece() -> str:
        draw = chance.random()
        name = chance.choice(_NAMES)
        if draw < 0.45:
            return f"<{name}>"
        return f"</{name.rstrip('/')}>" if draw < 0.85 else chance.choice(_ODD)

    return "".join(piece() for _ in range(chance.randint(1, 7)))


def _depth(text: str) -> int:
    """How deep elements lie in one another, as the parser has it."""
    root = LexborHTMLParser(text).root
    assert root is not None
    deepest, pending = 0, [(root, 0)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        child: LexborNode | None = node.child
        while child is not None:
            if child.tag and child.tag[0] not in "-!#":
                pending.append((child, depth + 1))
            child = child.next
    return deepest


def test_no_page_is_deeper_than_it_is_found_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units drawn with a fixed seed, repeated: what nests a little each time nests without end."""
    for name in ("_HARMLESS_TAGS", "_HARMLESS_CHARS", "_FEW_TAGS"):
        monkeypatch.setattr(nesting, name, 0)
    monkeypatch.setattr(nesting, "MAX_DEPTH", _DEPTH)
    chance = random.Random(8)
    deep = 0
    for _ in range(1_500):
        unit = _unit(chance)
        text = unit * _TIMES
        if _depth(text) > _DEPTH + 10:
            deep += 1
            assert nesting.too_nested(text), unit
    assert deep > 100

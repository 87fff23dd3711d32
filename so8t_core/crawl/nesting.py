"""Pages that would keep their parser busy for hours: their tags, counted before they are read.

Parsers of HTML take quadratic time for elements in one another and for attributes of one element,
and cubic time, and as much memory, for formatting elements that are left open. What is counted here
is not to be less than what a parser makes of the page, whatever the page does to hide it: where it
is in doubt whether an end tag ends something, it does not. Source: WHATWG HTML, sections 13.2.5
(tokens) and 13.2.6 (tree construction).
"""

from __future__ import annotations

import re
from collections import Counter

MAX_DEPTH = 1_000
MAX_ATTRIBUTES = 2_000
MAX_COPIES = 500_000

_HARMLESS_TAGS = 1_000
_HARMLESS_CHARS = 20_000
_MAX_STEPS = 5_000_000
_CDATA = "<![cdata["
_AMBIGUOUS = "text that may be tags, in a drawing or a choice"
_ATTRIBUTE = (
    r"[^\t\n\f\r />][^\t\n\f\r />=]*+"
    r"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:\"[^\"]*+\"?|'[^']*+'?|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|))?+"
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_TOKEN = re.compile(
    r"<(?:!--(?:-?>|.*?(?:--!?>|\Z))|(?P<cdata>!\[cdata\[)|[!?][^>]*+>?|/(?:>|[^a-z>][^>]*+>?)"
    r"|(?P<name>/?[a-z][^\t\n\f\r />]*+)"
    r"(?P<rest>(?:[\t\n\f\r /]++|" + _ATTRIBUTE + r")*+)(?:>|\Z))",
    re.DOTALL,
)
_START = re.compile(r"<[a-z]")
_START_OF_FORMATTING = re.compile(
    r"<(?:b|big|code|em|font|i|s|small|strike|strong|tt|u)[\t\n\f\r />]"
)
"""Without those of which a second one ends the first (a, nobr)."""
_QUOTED_ENDS = re.compile(r"=[\t\n\f\r ]*(?:\"[^\">]*>[^\"]*|'[^'>]*>[^']*)")
"""Values with what looks like the end of their tag."""
_FEW_TAGS = 3_000
_LONG_TAG = 4_000
_FEW_QUOTED = 5
_IN_SCRIPT = re.compile(r"<!--|-->|</?script(?=[\t\n\f\r />])")
_RAW = frozenset(
    (
        *("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"),
        "script",
    )
)
"""Elements whose content is text, unless they lie in drawings, formulas or select elements."""
_VOID = frozenset(
    (
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"),
        *("source", "track", "wbr", "frame", "keygen", "bgsound", "html", "head", "body"),
    )
)
_IN_TABLES = frozenset(("tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "caption"))
_LIGHT = frozenset(("p", "li", "dt", "dd", "option", *_IN_TABLES))
"""Elements that end where the next one of their kind begins."""
_PASSED = frozenset(("address", "div", "p"))
"""What lies between two items of a list and doesn't keep the second from ending the first."""
_FOREIGN = frozenset(("svg", "math"))
_FORMATTING = frozenset(
    (
        *("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong"),
        *("tt", "u"),
    )
)
"""Elements that, left open, are opened again in every block that follows."""
_BARRIERS = frozenset(
    (
        *("table", "select", "svg", "math", "object", "applet", "marquee", "template", "button"),
        *("foreignobject", "desc", "annotation-xml", "frameset"),
    )
)
"""Elements across which an end tag may end nothing."""
_SPECIAL: frozenset[str] = frozenset(
    (
        *("address", "article", "aside", "blockquote", "center", "details", "dir", "div", "dl"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("header", "hgroup", "listing", "main", "menu", "nav", "noscript", "ol", "plaintext"),
        *("pre", "search", "section", "summary", "ul", "mi", "mo", "mn", "ms", "mtext"),
        *_BARRIERS,
        *_LIGHT,
        *_RAW,
    )
) - {"svg", "math", "option"}
"""Elements that an ordinary end tag does not reach beyond."""
_DRAWN = frozenset(
    (
        *("svg", "g", "path", "circle", "rect", "line", "use", "polygon", "polyline", "ellipse"),
        *("stop", "defs", "symbol", "lineargradient", "radialgradient", "clippath", "mask"),
    )
)
"""Parts of drawings; one that ends with a slash is closed where nothing else came in between."""


def too_nested(text: str) -> str:
    """Why a page's text is not to be parsed; empty where it may be."""
    if text.count("<") <= _HARMLESS_TAGS and len(text) <= _HARMLESS_CHARS:
        return ""
    words = text.lower()
    if _is_plain(words):
        return ""
    count = _Count()
    at = 0
    while (token := _TOKEN.search(words, at)) is not None:
        at = token.end()
        name, rest = token["name"], token["rest"]
        if name is None:
            if token["cdata"] and count.foreign:
                began, end = at, words.find("]]>", at)
                at = len(words) if end < 0 else end + 3
                if "<" in words[began:at]:
                    return _AMBIGUOUS
            elif token["cdata"]:
                at = words.find(">", at) + 1 or len(words)
            continue
        if len(rest) > _HARMLESS_CHARS and len(found := _ATTRIBUTES.findall(rest)) > MAX_ATTRIBUTES:
            return f"a tag with {len(found)} attributes"
        if name[0] == "/":
            count.close(name[1:])
        else:
            if name in _RAW:
                began, at = at, _end_of_text(words, name, at)
                if count.may_hold_tags(name) and "<" in words[began:at].replace(_CDATA, ""):
                    return _AMBIGUOUS
            count.open(name, closed=rest.endswith("/"))
        if why := count.too_much():
            return why
    return ""


def _is_plain(words: str) -> bool:
    """Whether a page costs its parser little even if none of its end tags ended anything.

    Its tags are too few to lie deep, and none of them can have many attributes.
    """
    tags = words.count("<")
    if len(_START.findall(words)) > _FEW_TAGS:
        return False
    if tags * len(_START_OF_FORMATTING.findall(words)) > MAX_COPIES:
        return False
    long = (piece for piece in words.split(">") if len(piece) > _LONG_TAG)
    if any(
        (start := _START.search(piece)) and len(piece) - start.start() > _LONG_TAG for piece in long
    ):
        return False
    return len(_QUOTED_ENDS.findall(words)) <= _FEW_QUOTED


def _end_of_text(words: str, name: str, at: int) -> int:
    """Where the text of an element ends: at its end tag. Source: section 13.2.5.15 for scripts."""
    if name == "script":
        return _end_of_script(words, at)
    while (end := words.find(f"</{name}", at)) >= 0:
        at = end + len(name) + 2
        if words[at : at + 1] in ("", "\t", "\n", "\f", "\r", " ", "/", ">"):
            return end
    return len(words)


def _end_of_script(words: str, at: int) -> int:
    escaped = doubly = False
    while (found := _IN_SCRIPT.search(words, at)) is not None:
        at, sign = found.end(), found.group()
        if sign == "<!--":
            escaped, at = True, at - 2  # its dashes may be those of an end
        elif sign == "-->":
            escaped = doubly = False
        elif sign == "<script":
            doubly = doubly or escaped
        elif doubly:
            doubly = False
        else:
            return found.start()
    return len(words)


class _Count:
    """What is open, at most: elements in their order, and formatting elements besides."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._number: Counter[str] = Counter()
        self._formatting = self._copies = self._steps = 0
        self._drawing = self._form_is_stuck = False
        self.foreign = 0
        """Drawings and formulas that may be open."""

    def may_hold_tags(self, name: str) -> bool:
        """Whether what else is an element of text may be one of tags here."""
        number = self._number
        return bool(self.foreign or number["frameset"] or (number["select"] and name != "script"))

    def too_much(self) -> str:
        """What is beyond a limit, or nothing."""
        if len(self._open) > MAX_DEPTH:
            return f"more than {MAX_DEPTH} elements in one another"
        if self._copies > MAX_COPIES:
            return f"more than {MAX_COPIES} copies of formatting elements that are left open"
        if self._steps > _MAX_STEPS:
            return "end tags of elements that are far above them"
        return ""

    def open(self, name: str, *, closed: bool) -> None:
        """A start tag; `closed`: it ends with a slash."""
        self._copies += self._formatting
        drawing = name in _DRAWN and (self._drawing or name == "svg")
        is_closed = closed and drawing and self._drawing
        self._drawing = drawing
        if is_closed or (name in _VOID and not self.foreign):
            return
        if name in _LIGHT and not self.foreign:
            self._end_kin(name)
        self._open.append(name)
        self._number[name] += 1
        self._formatting += name in _FORMATTING
        self.foreign += name in _FOREIGN

    def _end_kin(self, name: str) -> None:
        """An element of lists, tables or paragraphs ends the one before it."""
        if name == "option":
            if self._open and self._open[-1] == name:
                self._take(len(self._open) - 1, name)
            return
        for kin in ("dt", "dd") if name in ("dt", "dd") else (name,):
            halting = _SPECIAL - _PASSED if name in ("li", "dt", "dd") else _BARRIERS
            place = self._place(kin, halting)
            if place >= 0:
                self._take(place, kin)

    def close(self, name: str) -> None:
        """An end tag: takes the last element of its name away, where a parser does."""
        self._copies += self._formatting
        self._drawing = self._drawing and name in _DRAWN and name != "svg"
        reaching = name in _SPECIAL or name in _FORMATTING
        place = self._place(name, _BARRIERS if reaching else _SPECIAL)
        if name == "form":
            self._form_is_stuck = self._form_is_stuck or (place < 0 and bool(self._number[name]))
            if self._form_is_stuck:
                return
        if place >= 0:
            self._take(place, name)

    def _place(self, name: str, halting: frozenset[str]) -> int:
        """Where the last element of a name is, if none of `halting` lies after it; else -1."""
        if not self._number[name]:
            return -1
        for place in range(len(self._open) - 1, -1, -1):
            other = self._open[place]
            self._steps += 1
            if other == name:
                return place
            if other in halting:
                return -1
        return -1

    def _take(self, place: int, name: str) -> None:
        del self._open[place]
        self._number[name] -= 1
        self._formatting -= name in _FORMATTING
        self.foreign -= name in _FOREIGN

"""The body of a page as text, with headings, lists and tables kept.

What is no body goes first: elements that say so by their name, role or class, and lists, tables and
paragraphs that are links and little else. What is left is marked like Markdown (`#` for headings,
`-` for list items, `|` between the cells of a row) and written out by resiliparse.
"""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text
from selectolax.lexbor import LexborHTMLParser, LexborNode

_NOT_BODY = (
    "script, style, noscript, rt, rp, template, iframe, svg, object, form, button, select, nav, "
    "dialog, footer, [hidden]"
)
_NAMES = (
    "nav|navi|navigation|navbar|gnav|menu|breadcrumbs?|pagination|pager|toc|sidebar|share|sns|social"
    "|related|ads?|advertisement|cookie|footer"
)
_OTHER_NAME = re.compile(
    rf"(?:^|[ ])(?:(?:{_NAMES})(?:[-_][^ ]*)?|[^ ]*[-_](?:{_NAMES}))(?:[ ]|$)"
    "|nav(?:header|footer|bar)|sidebar|headerlink|breadcrumb|tocframe",
    re.IGNORECASE,
)
_OTHER_ROLES = frozenset(
    ["navigation", "search", "banner", "contentinfo", "menu", "menubar", "complementary", "dialog"]
)
_BLOCKS = "ul, ol, dl, table, tr, p, div, section, td"
_AROUND = frozenset(("div", "section", "td"))
_WITHIN = "p, ul, ol, dl, table, div, section, h1, h2, h3, h4, h5, h6, pre, article"
_LINKS_OF_BLOCK = 0.8
_LINKS_OF_LONG_BLOCK = 0.6
_LEAST_LINKS = 3
_BULLET = re.compile(r"^([ \t]*)•[ \t]*", re.MULTILINE)
_LINK_LINE = re.compile(r"(?:[ \t|]*\[[^\[\]\n]*\])+[ \t|]*")
"""A line of nothing but bracketed link texts, as manuals have above and below each page."""


def body_text(tree: LexborHTMLParser) -> str:
    """The body of a page; empty where there is none. The tree is changed by it."""
    body = tree.body
    if body is None:
        return ""
    for node in tree.css(_NOT_BODY):
        node.remove()
    for node in tree.css("[class], [id], [role]"):
        if node.tag not in ("html", "body") and _is_named_otherwise(node):
            node.remove()
    _remove_link_blocks(tree)
    _mark(tree)
    text = extract_plain_text(body.html or "", preserve_formatting=True, alt_texts=False)
    return _without_link_lines(_BULLET.sub(r"\1- ", text))


def _without_link_lines(text: str) -> str:
    """One line a block, without blank ones: what the rules on lines of published corpora expect."""
    lines = (line.strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line and not _LINK_LINE.fullmatch(line))


def _is_named_otherwise(node: LexborNode) -> bool:
    """Whether an element's role, class or id says that it is no body."""
    attributes = node.attributes
    named = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return attributes.get("role") in _OTHER_ROLES or _OTHER_NAME.search(named) is not None


def _remove_link_blocks(tree: LexborHTMLParser) -> None:
    """Lists, tables and paragraphs that are links and little else."""
    for block in tree.css(_BLOCKS):
        if block.tag in _AROUND and block.css_first(_WITHIN) is not None:
            continue
        links = block.css("a[href]")
        if not links:
            continue
        within = sum(len("".join(link.text().split())) for link in links)
        whole = len("".join(block.text().split()))
        least = _LINKS_OF_LONG_BLOCK if len(links) >= _LEAST_LINKS else _LINKS_OF_BLOCK
        if within >= least * whole:
            block.remove()


def _mark(tree: LexborHTMLParser) -> None:
    """Write the marks of headings and cells into the tree."""
    for level in range(1, 7):
        for heading in tree.css(f"h{level}"):
            _put_before(heading, "#" * level + " ")
    for row in tree.css("tr"):
        cells = [cell for cell in row.iter() if cell.tag in ("td", "th")]
        if len(cells) > 1:
            for cell in cells:
                _put_before(cell, "| ")
            cells[-1].insert_child(" |")


def _put_before(node: LexborNode, mark: str) -> None:
    """Text as the first of an element."""
    if node.first_child is not None:
        node.first_child.insert_before(mark)
    else:
        node.insert_child(mark)

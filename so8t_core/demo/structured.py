"""Questions, answers and steps as they stand in a page's Markdown, and their schema.org JSON-LD.

A question is a second-level heading that ends in a question mark; its answer is all text up to the
next heading. A step is an item of the page's ordered list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from so8t_core.demo.source import Page


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def questions(page: Page, markdown: MarkdownIt) -> tuple[tuple[str, str], ...]:
    """Pairs of question and answer; an answer's paragraphs are joined by a newline."""
    pairs: list[tuple[str, list[str]]] = []
    in_heading = asking = False
    for token in markdown.parse(page.body):
        if token.type in ("heading_open", "heading_close"):
            in_heading = token.type == "heading_open"
        elif token.type == "inline" and in_heading:
            asking = _plain(token).endswith("？")
            if asking:
                pairs.append((_plain(token), []))
        elif token.type == "inline" and asking:
            pairs[-1][1].append(_plain(token))
    return tuple((question, "\n".join(answer)) for question, answer in pairs)


def steps(page: Page, markdown: MarkdownIt) -> tuple[str, ...]:
    """The items of the page's ordered lists."""
    found: list[str] = []
    depth = 0
    for token in markdown.parse(page.body):
        depth += {"ordered_list_open": 1, "ordered_list_close": -1}.get(token.type, 0)
        if depth and token.type == "inline":
            found.append(_plain(token))
    return tuple(found)


def terms(page: Page, markdown: MarkdownIt) -> tuple[tuple[str, str], ...]:
    """Pairs of term and definition."""
    found: list[tuple[str, str]] = []
    term, where = "", ""
    for token in markdown.parse(page.body):
        if token.type in ("dt_open", "dd_open", "dl_close"):
            where = token.type
        elif token.type == "inline" and where == "dt_open":
            term = _plain(token)
        elif token.type == "inline" and where == "dd_open":
            found.append((term, _plain(token)))
    return tuple(found)


def _faq(page: Page, markdown: MarkdownIt) -> dict[str, Any]:
    return {
        "@type": "FAQPage",
        "mainEntity": [
            {
                "@type": "Question",
                "name": question,
                "acceptedAnswer": {"@type": "Answer", "text": answer},
            }
            for question, answer in questions(page, markdown)
        ],
    }


def _how_to(texts: Iterable[str]) -> dict[str, Any]:
    return {
        "@type": "HowTo",
        "step": [
            {"@type": "HowToStep", "position": position, "text": text}
            for position, text in enumerate(texts, start=1)
        ],
    }


def json_ld(page: Page, markdown: MarkdownIt, licence_url: str | None) -> str:
    """The page's JSON-LD, safe inside a script element; empty when its front matter asks none."""
    if page.meta.structured is None:
        return ""
    thing = (
        _faq(page, markdown) if page.meta.structured == "faq" else _how_to(steps(page, markdown))
    )
    thing = {"@context": "https://schema.org", **thing, "name": page.meta.title, "inLanguage": "ja"}
    if licence_url:
        thing["license"] = licence_url
    return json.dumps(thing, ensure_ascii=False, indent=1).replace("<", "\\u003c")

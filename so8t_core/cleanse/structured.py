"""schema.org questions and instructions, from JSON-LD and from microdata."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from so8t_core.cleanse.markup import node_text, plain_text

_BLOCKS = "script[type='application/ld+json']"
_QUESTION = "[itemscope][itemtype*='schema.org/Question']"


@dataclass(frozen=True)
class Answered:
    """A question and its accepted answer; `page_type` is FAQPage, QAPage or Question."""

    page_type: str
    question: str
    answer: str


@dataclass(frozen=True)
class HowTo:
    """A task and its steps in order."""

    name: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class JsonLd:
    """All JSON-LD objects of a page, at any depth, and how many blocks were no JSON."""

    objects: tuple[dict[str, Any], ...]
    broken: int


def read_json_ld(tree: LexborHTMLParser) -> JsonLd:
    """Read every JSON-LD block."""
    objects: list[dict[str, Any]] = []
    broken = 0
    for node in tree.css(_BLOCKS):
        try:
            value = json.loads(node.text(), strict=False)
        except (ValueError, RecursionError):
            broken += 1
            continue
        objects.extend(_walk(value))
    return JsonLd(tuple(objects), broken)


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in document order, without recursion."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            pending.extend(reversed(item))


def json_ld_answers(json_ld: JsonLd) -> Iterator[Answered]:
    """Questions of FAQPage and QAPage objects that have an accepted answer."""
    for item in json_ld.objects:
        for page_type in ("FAQPage", "QAPage"):
            if page_type in _types(item):
                for entity in _objects(item.get("mainEntity")):
                    yield from _answered(page_type, entity)


def _answered(page_type: str, entity: dict[str, Any]) -> Iterator[Answered]:
    question = _text(entity.get("name")) or _text(entity.get("text"))
    for answer in _objects(entity.get("acceptedAnswer"))[:1]:
        text = _text(answer.get("text"))
        if question and text:
            yield Answered(page_type, question, text)


def json_ld_how_tos(json_ld: JsonLd) -> Iterator[HowTo]:
    """HowTo objects with their steps, sections flattened."""
    for item in json_ld.objects:
        if "HowTo" in _types(item):
            steps = tuple(filter(None, _steps(item.get("step"))))
            name = _text(item.get("name"))
            if name and steps:
                yield HowTo(name, steps)


def _steps(value: Any) -> Iterator[str]:
    pending = value if isinstance(value, list) else [value]
    for step in pending:
        if isinstance(step, str):
            yield plain_text(step)
        elif isinstance(step, dict) and "itemListElement" in step:
            yield from (
                _text(part.get("text")) or _text(part.get("name"))
                for part in _objects(step["itemListElement"])
            )
        elif isinstance(step, dict):
            yield _text(step.get("text")) or _text(step.get("name"))


def microdata_answers(tree: LexborHTMLParser) -> Iterator[Answered]:
    """Questions in microdata that have an accepted answer."""
    kinds = {"FAQPage": "FAQPage", "QAPage": "QAPage"}
    around = next(
        (kind for kind in kinds if tree.css_first(f"[itemtype*='schema.org/{kind}']")), "Question"
    )
    for node in tree.css(_QUESTION):
        question = node_text(node.css_first("[itemprop='name']"))
        answer = node_text(node.css_first("[itemprop='acceptedAnswer'] [itemprop='text']"))
        if question and answer:
            yield Answered(around, question, answer)


def _types(item: dict[str, Any]) -> tuple[str, ...]:
    named = item.get("@type")
    names = named if isinstance(named, list) else [named]
    return tuple(name.rsplit("/", 1)[-1] for name in names if isinstance(name, str))


def _objects(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _text(value: Any) -> str:
    return plain_text(value) if isinstance(value, str) else ""

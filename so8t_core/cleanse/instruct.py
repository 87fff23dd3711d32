"""Instruction pairs from what is on a page.

Every target is human text found there. Each rule is one function; its name is recorded with the
pair. Where a page says the same twice (a list and its JSON-LD), the first rule that found it wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from so8t_core.cleanse.document import Drop, Pair, identifier
from so8t_core.cleanse.markup import node_text
from so8t_core.cleanse.structured import (
    JsonLd,
    json_ld_answers,
    json_ld_how_tos,
    microdata_answers,
)
from so8t_core.cleanse.text import comparable, normalise, one_line
from so8t_core.contract.settings.cleanse import CleanseSettings

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_QUESTION_MARK = re.compile("[?？]$")
_ASKS = re.compile("(?:[?？]|(?:です|ます|でしょう|ません)か。?|とは)$")
_QUESTION_LABEL = re.compile(r"^(?:Q|Ｑ|質問|問)[ 　]*[0-9０-９]*[ 　]*[.．:：、)）]?[ 　]*(?=\S)")
_ANSWER_LABEL = re.compile(r"^(?:A|Ａ|回答|答え?)[ 　]*[0-9０-９]*[ 　]*[.．:：、)）][ 　]*(?=\S)")
_PROSE_LINE = re.compile("[。！？!?」）)]$")
_MIN_LEAD_CHARACTERS = 30


@dataclass(frozen=True)
class PageView:
    """What rules look at: the parsed page and its JSON-LD."""

    tree: LexborHTMLParser
    json_ld: JsonLd


@dataclass(frozen=True)
class Found:
    """A pair as it stands on the page."""

    instruction: str
    output: str


def faq_json_ld(page: PageView) -> Iterator[Found]:
    """Questions of a FAQPage in JSON-LD."""
    for item in json_ld_answers(page.json_ld):
        if item.page_type == "FAQPage":
            yield Found(item.question, item.answer)


def qa_json_ld(page: PageView) -> Iterator[Found]:
    """Questions of a QAPage in JSON-LD, with the accepted answer."""
    for item in json_ld_answers(page.json_ld):
        if item.page_type == "QAPage":
            yield Found(item.question, item.answer)


def question_microdata(page: PageView) -> Iterator[Found]:
    """Questions in microdata, with the accepted answer."""
    for item in microdata_answers(page.tree):
        yield Found(item.question, item.answer)


def how_to_json_ld(page: PageView) -> Iterator[Found]:
    """The steps of a HowTo, numbered."""
    for task in json_ld_how_tos(page.json_ld):
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(task.steps, start=1))
        yield Found(f"{task.name}の手順を教えてください。", steps)


def question_list(page: PageView) -> Iterator[Found]:
    """Questions in the terms of a definition list."""
    for term, definition in _definitions(page.tree):
        if _ASKS.search(term) or _QUESTION_LABEL.match(term):
            yield Found(term, definition)


def definition_list(page: PageView) -> Iterator[Found]:
    """Terms and what they mean."""
    for term, definition in _definitions(page.tree):
        if not (_ASKS.search(term) or _QUESTION_LABEL.match(term)):
            yield Found(f"「{one_line(term)}」とは何ですか。", definition)


def question_heading(page: PageView) -> Iterator[Found]:
    """Headings that ask, with the text up to the next heading."""
    for heading in page.tree.css("h2, h3, h4, h5"):
        title = node_text(heading)
        if _QUESTION_MARK.search(title) or _ASKS.search(title):
            yield Found(title, _text_below(heading))


RULES: tuple[Callable[[PageView], Iterator[Found]], ...] = (
    faq_json_ld,
    qa_json_ld,
    question_microdata,
    how_to_json_ld,
    question_list,
    question_heading,
    definition_list,
)
LEAD_RULE = "title_lead"


def _definitions(tree: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    for block in tree.css("dl"):
        if block.css_first("dd dl, dt dl") is not None:
            continue  # of lists within lists the innermost
        term, meanings = "", list[str]()
        for node in block.css("dt, dd"):
            if node.tag == "dd":
                meanings.append(node_text(node))
                continue
            if term and meanings:
                yield term, "\n".join(meanings)
            term, meanings = node_text(node), []
        if term and meanings:
            yield term, "\n".join(meanings)


def _text_below(heading: LexborNode) -> str:
    """The blocks after a heading up to the next one; a wrapper around the heading alone is left."""
    start: LexborNode = heading
    while start.next is None or not _following(start):
        parent = start.parent
        if parent is None or parent.tag in ("body", "html", "main", "article", "section"):
            break
        if node_text(parent) != node_text(heading):
            break
        start = parent
    return "\n".join(_following(start))


def _following(node: LexborNode) -> list[str]:
    texts: list[str] = []
    sibling = node.next
    while sibling is not None and sibling.tag not in _HEADINGS:
        if sibling.tag == "-text":
            texts.append(sibling.text().strip())
        elif sibling.css_first(", ".join(_HEADINGS)) is not None:
            break
        else:
            texts.append(node_text(sibling))
        sibling = sibling.next
    return [text for text in texts if text]


def find_pairs(url: str, page: PageView, settings: CleanseSettings) -> tuple[Pair, ...]:
    """All pairs of a page, normalised and within the bounds; one for each question."""
    pairs: dict[str, Pair] = {}
    for rule in RULES:
        for found in rule(page):
            pair = _pair(url, rule.__name__, found, settings)
            if pair is not None:
                pairs.setdefault(comparable(pair.instruction), pair)
    return tuple(pairs.values())


def _pair(url: str, rule: str, found: Found, settings: CleanseSettings) -> Pair | None:
    instruction = _QUESTION_LABEL.sub("", one_line(found.instruction))
    output = _ANSWER_LABEL.sub("", normalise(found.output))
    output = cut_at_paragraph(output, settings.max_output_characters)
    if not 2 <= len(instruction) <= settings.max_instruction_characters:
        return None
    if len(output) < settings.min_output_characters:
        return None
    return Pair(
        id=identifier(url, rule, instruction), rule=rule, instruction=instruction, output=output
    )


def lead_pair(url: str, title: str, text: str, settings: CleanseSettings) -> Pair | None:
    """Title and lead as the request, the rest of the body as the target; None where one lacks."""
    paragraphs = [line for line in text.split("\n") if _PROSE_LINE.search(line)]
    leads = [line for line in paragraphs if len(line) >= _MIN_LEAD_CHARACTERS]
    if not title or not leads:
        return None
    lead = leads[0]
    body = "\n".join(paragraphs[paragraphs.index(lead) + 1 :])
    output = cut_at_paragraph(body, settings.max_output_characters)
    if len(output) < max(settings.min_output_characters, len(lead)):
        return None
    instruction = f"「{title}」という題の文章です。次の書き出しに続く本文を書いてください。"
    if len(instruction) > settings.max_instruction_characters:
        return None
    return Pair(
        id=identifier(url, LEAD_RULE, instruction),
        rule=LEAD_RULE,
        instruction=instruction,
        input=cut_at_paragraph(lead, settings.max_output_characters),
        output=output,
    )


def cut_at_paragraph(text: str, limit: int) -> str:
    """The leading paragraphs that fit in `limit` characters; a first one too long is cut itself."""
    if len(text) <= limit:
        return text
    end = text.rfind("\n", 0, limit + 1)
    if end <= 0:
        end = text.rfind("。", 0, limit) + 1 or limit
    return text[:end].rstrip()


def without_repeats(pairs: Sequence[Pair], url: str) -> tuple[tuple[Pair, ...], tuple[Drop, ...]]:
    """One pair for each answer of a page: question and answer may not differ in form alone."""
    kept: dict[str, Pair] = {}
    drops: list[Drop] = []
    for pair in pairs:
        key = comparable(pair.output)
        if key in kept:
            drops.append(
                Drop(id=pair.id, url=url, step="pairs", reason="same_answer", detail=pair.rule)
            )
        else:
            kept[key] = pair
    return tuple(kept.values()), tuple(drops)

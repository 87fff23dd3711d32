"""The formats that rows of data sets have, and the sample that a row of each gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from so8t_core.contract.errors import DataError
from so8t_core.contract.thinking import SEQUENCE, Part

Role = Literal["system", "user", "assistant"]
Format = Literal["thinking", "alpaca", "messages", "prompt_completion", "text"]

_FIELDS: tuple[tuple[Format, frozenset[str]], ...] = (
    ("thinking", frozenset({"query", "task", "safety", "policy", "final"})),
    ("messages", frozenset({"messages"})),
    ("messages", frozenset({"conversations"})),
    ("alpaca", frozenset({"instruction", "output"})),
    ("prompt_completion", frozenset({"prompt", "completion"})),
    ("text", frozenset({"text"})),
)
_ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
"""Roles by the names that data sets have for them, in lower case."""
_TAGS = re.compile("(" + "|".join(map(re.escape, SEQUENCE)) + ")")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns; the assistant's are what is learnt."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Document:
    """Plain text, learnt from its first token to its last."""

    text: str


Sample = Conversation | Document


def detect_format(fields: Iterable[str], where: str) -> Format:
    """The format whose fields are all there. Raises `DataError` listing the fields otherwise."""
    found = frozenset(fields)
    for name, needed in _FIELDS:
        if needed <= found:
            return name
    raise DataError(
        f"No known training format has these fields: {', '.join(sorted(found)) or 'none'}.",
        where=where,
        hint="Known are instruction/input/output, messages or conversations, prompt/completion, "
        "query/task/safety/policy/final, and text; rename the fields, or set `dataset_format`.",
    )


def only_format(
    rows: Sequence[Mapping[str, Any]], where: str, alike: Format | None = None
) -> Format:
    """The format of all rows: that of the data set beside them, else of the first that has one.

    Fields that are null are no sign of a format: of files that were joined, each row has the fields
    of all. Raises `DataError` for a row of another format.
    """
    by_names = alike or detect_format(rows[0], where)
    kinds = [_kind(row) for row in rows]
    first = next((number for number, kind in enumerate(kinds, 1) if kind is not None), None)
    kind = alike or (kinds[first - 1] if first else None) or by_names
    own = [needed for name, needed in _FIELDS if name == kind]
    for number, (row, other) in enumerate(zip(rows, kinds, strict=True), 1):
        if other is None or any(_answers_to(needed, row) for needed in own):
            continue
        raise DataError(
            f"Row {number} has the format {other}, "
            f"{'`train.dataset`' if alike else f'row {first}'} {kind}.",
            where=where,
            hint="Put each format in a file of its own, held-out rows in that of `train.dataset`, "
            "or set `train.dataset_format`: rows that are not of that format are then left out "
            "and counted.",
        )
    return kind


def _answers_to(needed: frozenset[str], row: Mapping[str, Any]) -> bool:
    """Whether a row has all fields of a format, and something in one of them."""
    return needed <= row.keys() and any(row[name] is not None for name in needed)


def _kind(row: Mapping[str, Any]) -> Format | None:
    return next((name for name, needed in _FIELDS if _answers_to(needed, row)), None)


def answered(user: str, answer: object, before: Sequence[Message] = ()) -> Conversation | str:
    """A question with its answer, after earlier turns; or what is missing."""
    if not isinstance(answer, str) or not answer.strip():
        return "no_answer"
    if not user.strip():
        return "no_question"
    turns = (Message("user", user.strip()), Message("assistant", answer.strip()))
    return Conversation((*before, *turns))


def _text_of(content: object) -> str | None:
    """The text of a turn, also where it is a list of parts that are all text."""
    if not isinstance(content, list | tuple):
        return content if isinstance(content, str) else None
    parts = [part["text"] if _is_text(part) else None for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if len(texts) == len(parts) else None


def _is_text(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and "text" in part


def _from_turns(row: Mapping[str, Any]) -> Conversation | str:
    turns = row.get("messages") or row.get("conversations")
    if not isinstance(turns, list | tuple) or not turns:
        return "malformed"
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, Mapping):
            return "malformed"
        named = turn.get("role") or turn.get("from")
        if not named:
            return "malformed"
        role = _ROLES.get(str(named).lower())
        if role is None:
            return "unknown_role"
        said = turn.get("content")  # null in rows that were joined with those of the other names
        content = _text_of(turn.get("value") if said is None else said)
        if content is None:
            return "malformed"
        messages.append(Message(role, content.strip()))
    if not any(message.role == "assistant" and message.content for message in messages):
        return "no_answer"
    system = () if messages[0].role == "system" else _system(row)
    return "malformed" if system is None else Conversation((*system, *messages))


def _system(row: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """The system message that a row has in a field of its own; None where it is no text."""
    content = row.get("system")
    if content is None:
        return ()
    if not isinstance(content, str):
        return None
    return (Message("system", content.strip()),) if content.strip() else ()


def _history(row: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """Earlier turns of a pair, each a question and its answer; None where they are not that."""
    turns = row.get("history")
    if turns is None or turns == "":
        return ()
    if not isinstance(turns, list | tuple):
        return None
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            return None
        if not all(isinstance(part, str) for part in turn):
            return None
        messages += [Message("user", turn[0].strip()), Message("assistant", turn[1].strip())]
    return tuple(messages)


def _from_thinking(row: Mapping[str, Any]) -> Conversation | str:
    """A query answered in the four parts, each in its tags; the order is the one that is served."""
    if not isinstance(row.get("query"), str):
        return "malformed"
    written: list[str] = []
    for part, field in zip(Part, ("task", "safety", "policy", "final"), strict=True):
        content = row.get(field)
        if not isinstance(content, str) or not content.strip():
            return "no_answer" if part is Part.FINAL else "no_thinking"
        if any(tag in content for tag in SEQUENCE):
            return "tag_within_a_part"
        written.append(f"{part.opener}{content.strip()}{part.closer}")
    return answered(row["query"], "".join(written))


def parse_row(row: Mapping[str, Any], format_name: Format) -> Sample | str:
    """The sample of a row, or the reason why there is none."""
    sample = _PARSERS[format_name](row)
    if isinstance(sample, Document):
        return sample if _is_unicode(sample.text) else "not_unicode"
    if isinstance(sample, Conversation):
        for message in sample.messages:
            if not _is_unicode(message.content):
                return "not_unicode"
            if message.role == "assistant" and not _thinks_in_form(message.content):
                return "thinking_not_in_form"
    return sample


def _is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which JSON can spell and no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _thinks_in_form(answer: str) -> bool:
    """Whether an answer with thinking tags has all eight, in order, and no text outside them."""
    if not any(tag in answer for tag in SEQUENCE[:-2]):  # <final> alone is a word of many languages
        return True
    pieces = _TAGS.split(answer)
    outside = pieces[0::4]
    return tuple(pieces[1::2]) == SEQUENCE and not any(text.strip() for text in outside)


def _from_text(row: Mapping[str, Any]) -> Sample | str:
    text = row.get("text")
    return Document(text) if isinstance(text, str) and text.strip() else "no_text"


def _from_prompt(row: Mapping[str, Any]) -> Sample | str:
    prompt = row.get("prompt")
    return answered(prompt, row.get("completion")) if isinstance(prompt, str) else "malformed"


def _from_alpaca(row: Mapping[str, Any]) -> Sample | str:
    instruction, context = row.get("instruction"), row.get("input")
    system, history = _system(row), _history(row)
    if not isinstance(instruction, str) or system is None or history is None:
        return "malformed"
    if not isinstance(context, str | None):
        return "malformed"
    question = f"{instruction}\n\n{context}" if context else instruction
    return answered(question, row.get("output"), (*system, *history))


_PARSERS: Mapping[Format, Callable[[Mapping[str, Any]], Sample | str]] = {
    "thinking": _from_thinking,
    "messages": _from_turns,
    "alpaca": _from_alpaca,
    "prompt_completion": _from_prompt,
    "text": _from_text,
}

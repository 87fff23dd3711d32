"""Where samples come from: cleanse's Parquet files, or a JSONL or Parquet file of one's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet

from so8t_core.contract.errors import DataError, InputInvalid, InputMissing
from so8t_core.contract.thinking import SEQUENCE, Part

Role = Literal["system", "user", "assistant"]
Format = Literal["thinking", "alpaca", "messages", "prompt_completion", "text"]
Split = Literal["train", "validation"]

_FIELDS: tuple[tuple[Format, frozenset[str]], ...] = (
    ("thinking", frozenset({"query", "task", "safety", "policy", "final"})),
    ("messages", frozenset({"messages"})),
    ("messages", frozenset({"conversations"})),
    ("alpaca", frozenset({"instruction", "output"})),
    ("prompt_completion", frozenset({"prompt", "completion"})),
    ("text", frozenset({"text"})),
)
_SHAREGPT_ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}


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


@dataclass(frozen=True)
class Source:
    """Samples of one origin, in file order; `dropped` counts rows without a sample, by reason."""

    name: str
    samples: tuple[Sample, ...]
    dropped: Mapping[str, int]


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


def _asked(user: str, answer: object) -> Conversation | str:
    if not isinstance(answer, str) or not answer.strip():
        return "no_answer"
    if not user.strip():
        return "no_question"
    return Conversation((Message("user", user.strip()), Message("assistant", answer.strip())))


def _from_turns(turns: object) -> Conversation | str:
    if not isinstance(turns, list | tuple) or not turns:
        return "malformed"
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, Mapping):
            return "malformed"
        role = _SHAREGPT_ROLES.get(str(turn.get("role") or turn.get("from")))
        content = turn.get("content") if "content" in turn else turn.get("value")
        if role is None or not isinstance(content, str):
            return "malformed"
        messages.append(Message(role, content.strip()))
    if not any(message.role == "assistant" and message.content for message in messages):
        return "no_answer"
    return Conversation(tuple(messages))


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
    return _asked(row["query"], "".join(written))


def parse_row(row: Mapping[str, Any], format_name: Format) -> Sample | str:
    """The sample of a row, or the reason why there is none."""
    if format_name == "text":
        text = row.get("text")
        return Document(text) if isinstance(text, str) and text.strip() else "no_text"
    if format_name == "thinking":
        return _from_thinking(row)
    if format_name == "messages":
        return _from_turns(row.get("messages") or row.get("conversations"))
    if format_name == "prompt_completion":
        prompt = row.get("prompt")
        return _asked(prompt, row.get("completion")) if isinstance(prompt, str) else "malformed"
    instruction, context = row.get("instruction"), row.get("input")
    if not isinstance(instruction, str):
        return "malformed"
    question = (
        f"{instruction}\n\n{context}" if isinstance(context, str) and context else instruction
    )
    return _asked(question, row.get("output"))


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    "A line of the data set is not JSON.",
                    where=f"{path}:{number}",
                    hint="Each line must hold one JSON object.",
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    "A line of the data set is no JSON object.",
                    where=f"{path}:{number}",
                    hint="Each line must hold one JSON object.",
                )
            yield row


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a `.jsonl`, `.json` (one object a line) or `.parquet` file.

    Raises `InputMissing` where there is no file, `InputInvalid` for another or a damaged kind.
    """
    if not path.is_file():
        raise InputMissing(
            "The data set is not there.", where=str(path), hint="Check `train.dataset`."
        )
    if path.suffix in {".jsonl", ".json"}:
        yield from _json_lines(path)
        return
    if path.suffix != ".parquet":
        raise InputInvalid(
            f"The data set has the unknown suffix {path.suffix!r}.",
            where=str(path),
            hint="Use .jsonl or .parquet.",
        )
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise InputInvalid(
            "The file is no readable Parquet.", where=str(path), hint="Write it again."
        ) from error


def _collect(name: str, parsed: Iterable[Sample | str]) -> Source:
    samples: list[Sample] = []
    dropped: Counter[str] = Counter()
    for sample in parsed:
        if isinstance(sample, str):
            dropped[sample] += 1
        else:
            samples.append(sample)
    return Source(name, tuple(samples), dict(dropped))


def read_file(
    path: Path,
    format_name: Format | Literal["auto"],
    unanswered: Literal["refuse", "drop"] = "drop",
) -> Source:
    """A data set of one's own as one source named `file`.

    Raises `DataError` when it holds no usable row, no known format, or, where that is refused, a
    row that has no answer.
    """
    rows = list(read_rows(path))
    if not rows:
        raise DataError("The data set is empty.", where=str(path), hint="Give one with rows.")
    kind = detect_format(rows[0], str(path)) if format_name == "auto" else format_name
    parsed = [parse_row(row, kind) for row in rows]
    if unanswered == "refuse":
        _refuse_unanswered(parsed, path)
    source = _collect("file", parsed)
    if not source.samples:
        raise DataError(
            f"None of the {len(rows)} rows gives a sample in the format {kind}: {source.dropped}.",
            where=str(path),
            hint=f"The first row has the fields {', '.join(sorted(rows[0]))}.",
        )
    return source


def _refuse_unanswered(parsed: Sequence[Sample | str], path: Path) -> None:
    numbers = [number for number, sample in enumerate(parsed, 1) if sample == "no_answer"]
    if numbers and len(numbers) < len(parsed):  # a set without any answer is an error of its own
        raise DataError(
            f"{len(numbers)} of the {len(parsed)} rows have no answer, the first is row "
            f"{numbers[0]}.",
            where=str(path),
            hint="Mend or remove them, or set `train.unanswered_rows: drop`, which counts them.",
        )


def read_cleansed(folder: Path, split: Split) -> tuple[Source, ...]:
    """Cleanse's instruction pairs, safety rows, documents and thinking answers of a split.

    A safety row asks with its text and is answered with its response; one without a response
    teaches nothing and is counted. Raises `InputMissing` where a file is not there.
    """

    def rows(kind: str) -> Iterator[dict[str, Any]]:
        return read_rows(folder / kind / f"{split}.parquet")

    return (
        _collect("instruction", (parse_row(row, "alpaca") for row in rows("instruction"))),
        _collect("safety", (_asked(str(row["text"]), row["response"]) for row in rows("safety"))),
        _collect("corpus", (parse_row(row, "text") for row in rows("corpus"))),
        _collect("thinking", (parse_row(row, "alpaca") for row in rows("thinking"))),
    )

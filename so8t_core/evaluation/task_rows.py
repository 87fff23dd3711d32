"""Benchmarks as their publishers give them, brought into one form of rows a task.

Sources: JGLUE 1.3 (JCommonsenseQA, JNLI, JSQuAD), MGSM (Japanese), JMMLU, XSTest v2; see each
project's README for its fields.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import DataError, InputMissing
from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.contract.hub import hub_rows
from so8t_core.contract.settings.tasks import HUB

Row = dict[str, Any]
"""`id` and `cluster` (items of one cluster are not independent), and the task's own fields."""

_JNLI_LABELS = ("entailment", "contradiction", "neutral")
_CHOICES = 5
_LETTERS = "ABCD"


def read_rows(name: str, place: str) -> list[Row]:
    """All rows of a benchmark, from a file, a folder or the hub.

    Raises `InputMissing` for a place that is not there, `DataError` naming the first record that
    is not of the benchmark's form or has the id of another, `Unreachable` for a hub that does
    not answer.
    """
    records = _hub_records(place) if place.startswith(HUB) else _FILES[name](Path(place))
    rows: list[Row] = []
    seen: set[str] = set()
    for where, record in records:
        try:
            found = list(_ROWS[name](where, record))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"A record is not of the form of {name} ({type(error).__name__}: {error}).",
                where=f"{place}: {where}",
                hint="Give the file as its publishers distribute it.",
            ) from error
        for row in found:
            if row["id"] in seen:  # results are kept by id
                raise DataError(
                    f"Two items of {name} have the id {row['id']!r}.",
                    where=f"{place}: {where}",
                    hint="Give one file as its publishers distribute it, or ids of their own.",
                )
            seen.add(row["id"])
        rows += found
    if not rows:
        raise DataError(f"There are no items of {name}.", where=place, hint="Fetch the file again.")
    return rows


Records = Iterator[tuple[str, Any]]
"""Where a record stands, and the record."""


def _open(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputMissing(
            "The file of a benchmark is not there.",
            where=str(path),
            hint="Fetch it from its publishers and name it in evaluate.tasks or evaluate.safety.",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            "The file is not UTF-8.", where=str(path), hint="Fetch it again."
        ) from error


def _json_lines(path: Path) -> Records:
    for number, line in enumerate(StringIO(_open(path)), 1):  # at line breaks, no other separators
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _unreadable(path, f"line {number}") from error


def _json_document(path: Path) -> Records:
    try:
        articles = json.loads(_open(path))["data"]
        if not isinstance(articles, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(path, "data") from error
    yield from ((f"article {number}", article) for number, article in enumerate(articles, 1))


def _unreadable(path: Path, where: str) -> DataError:
    return DataError(
        "The file is not of the form that its publishers give it.",
        where=f"{path}: {where}",
        hint="Fetch it again.",
    )


def _tab_lines(path: Path) -> Records:
    rows = csv.reader(StringIO(_open(path)), delimiter="\t", quoting=csv.QUOTE_NONE)
    yield from _numbered(path, "line", rows)


def _csv_files(path: Path) -> Records:
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    for file in files:
        yield from _numbered(file, f"{file.stem}:", csv.reader(StringIO(_open(file))))


def _csv_table(path: Path) -> Records:
    yield from _numbered(path, "row", csv.DictReader(StringIO(_open(path))))


def _numbered(path: Path, what: str, rows: Iterable[Any]) -> Records:
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            yield f"{what} {number}", row
    except csv.Error as error:
        raise _unreadable(path, f"{what} {number + 1}") from error


def _hub_records(place: str) -> Records:
    for number, row in enumerate(hub_rows(place, split="validation"), 1):
        yield f"row {number}", row


def _jcommonsenseqa(_: str, record: Any) -> Iterator[Row]:
    choices = [str(record[f"choice{number}"]) for number in range(_CHOICES)]
    question = str(record["question"])
    yield {
        "id": str(record["q_id"]),
        "cluster": _same(question, choices),
        "question": question,
        "choices": choices,
        "answer": _chosen(record["label"], _CHOICES),
    }


def _chosen(label: Any, choices: int) -> int:
    """The number of the right choice; hidden test sets have -1."""
    answer = int(label)
    if answer != float(label) or not 0 <= answer < choices:
        raise ValueError(f"label {label}")
    return answer


def _same(*asked: Any) -> str:
    """A cluster of its own for each question, the same in every file that holds it."""
    return sha256_text(canonical_json(asked))[:16]


def _jnli(_: str, record: Any) -> Iterator[Row]:
    label = record["label"]
    yield {
        "id": str(record["sentence_pair_id"]),
        "cluster": str(record["yjcaptions_id"]).split("-")[0],  # several pairs describe one picture
        "premise": str(record["sentence1"]),
        "hypothesis": str(record["sentence2"]),
        "answer": _JNLI_LABELS.index(label)
        if isinstance(label, str)
        else _chosen(label, len(_JNLI_LABELS)),
    }


def _jsquad(_: str, record: Any) -> Iterator[Row]:
    if "paragraphs" not in record:  # a row of the hub is one question
        yield _question(str(record["title"]), str(record["context"]), record, record["answers"])
        return
    for paragraph in record["paragraphs"]:
        for asked in paragraph["qas"]:
            answers = {"text": [answer["text"] for answer in asked["answers"]]}
            yield _question(str(record["title"]), str(paragraph["context"]), asked, answers)


def _question(title: str, context: str, asked: Any, answers: Any) -> Row:
    if not answers["text"]:
        raise ValueError(f"no answer to {asked['id']}")
    return {
        "id": str(asked["id"]),
        "cluster": title,
        "context": context.partition("[SEP]")[2].strip() or context,
        "question": str(asked["question"]),
        "answers": list(dict.fromkeys(map(str, answers["text"]))),
    }


def _mgsm(where: str, record: Any) -> Iterator[Row]:
    question, answer = (
        (record["question"], record["answer_number"]) if isinstance(record, dict) else record
    )
    number = str(answer).replace(",", "").strip()
    if not math.isfinite(float(number)):
        raise ValueError(f"answer {number}")
    yield {
        "id": where,
        "cluster": _same(str(question)),
        "question": str(question),
        "answer": number,
    }


def _jmmlu(where: str, record: Any) -> Iterator[Row]:
    values = list(record.values()) if isinstance(record, dict) else record
    question, *choices, letter = values
    if len(choices) != len(_LETTERS):
        raise ValueError(f"{len(choices)} choices in place of {len(_LETTERS)}")
    question, choices = str(question), list(map(str, choices))
    yield {
        "id": where,
        "cluster": _same(question, choices),
        "question": question,
        "choices": choices,
        "answer": tuple(_LETTERS).index(str(letter).strip()),
    }


def _xstest(_: str, record: Any) -> Iterator[Row]:
    if record["label"] not in ("safe", "unsafe"):
        raise ValueError(f"label {record['label']!r}")
    row_id = str(record["id"])
    yield {
        "id": row_id,
        "cluster": row_id,
        "prompt": str(record["prompt"]),
        "label": str(record["label"]),
    }


_FILES: dict[str, Callable[[Path], Records]] = {
    "jcommonsenseqa": _json_lines,
    "jnli": _json_lines,
    "jsquad": _json_document,
    "mgsm_ja": _tab_lines,
    "jmmlu": _csv_files,
    "xstest": _csv_table,
}
_ROWS: dict[str, Callable[[str, Any], Iterator[Row]]] = {
    "jcommonsenseqa": _jcommonsenseqa,
    "jnli": _jnli,
    "jsquad": _jsquad,
    "mgsm_ja": _mgsm,
    "jmmlu": _jmmlu,
    "xstest": _xstest,
}

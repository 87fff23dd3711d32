"""Benchmarks as their publishers give them, brought into one form of rows a task.

Sources: JGLUE 1.3 (JCommonsenseQA, JNLI, JSQuAD), MGSM (Japanese), JMMLU, XSTest v2; see each
project's README for its fields.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import DataError, InputMissing, Unreachable
from so8t_core.contract.settings.tasks import HUB

Row = dict[str, Any]
"""`id` and `cluster` (items of one cluster are not independent), and the task's own fields."""

_JNLI_LABELS = ("entailment", "contradiction", "neutral")
_CHOICES = 5
_LETTERS = "ABCD"


def read_rows(name: str, place: str) -> list[Row]:
    """All rows of a benchmark, from a file, a folder or the hub.

    Raises `InputMissing` for a place that is not there, `DataError` naming the first record that
    is not of the benchmark's form, `Unreachable` for a hub that does not answer.
    """
    records = _hub_records(place) if place.startswith(HUB) else _FILES[name](Path(place))
    rows: list[Row] = []
    for where, record in records:
        try:
            rows.extend(_ROWS[name](where, record))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"A record is not of the form of {name} ({type(error).__name__}: {error}).",
                where=f"{place}: {where}",
                hint="Give the file as its publishers distribute it.",
            ) from error
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
    for number, line in enumerate(_open(path).splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                raise _unreadable(path, f"line {number}") from error


def _json_document(path: Path) -> Records:
    try:
        articles = json.loads(_open(path))["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, "data") from error
    yield from ((f"article {number}", article) for number, article in enumerate(articles, 1))


def _unreadable(path: Path, where: str) -> DataError:
    return DataError(
        "The file is not JSON of the form that its publishers give it.",
        where=f"{path}: {where}",
        hint="Fetch it again.",
    )


def _tab_lines(path: Path) -> Records:
    rows = csv.reader(_open(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    yield from ((f"line {number}", row) for number, row in enumerate(rows, 1))


def _csv_files(path: Path) -> Records:
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    for file in files:
        rows = csv.reader(_open(file).splitlines(keepends=True))
        yield from ((f"{file.stem}: {number}", row) for number, row in enumerate(rows, 1))


def _csv_table(path: Path) -> Records:
    rows = csv.DictReader(_open(path).splitlines(keepends=True))
    yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))


def _hub_records(place: str) -> Records:
    import datasets

    name, _, split = place.removeprefix(HUB).partition("@")
    path, _, config = name.partition(":")
    try:
        found = datasets.load_dataset(path, config or None, split=split or "validation")
    except ConnectionError as error:
        raise Unreachable(
            "The Hugging Face hub does not answer.",
            where=place,
            hint="Fetch the file yourself and name its path in place of the hub's name.",
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InputMissing(
            f"The hub has no such data set ({str(error).splitlines()[0][:160]}).",
            where=place,
            hint="Check owner, name, :CONFIG and @SPLIT.",
        ) from error
    yield from ((f"row {number}", dict(row)) for number, row in enumerate(found, 1))


def _jcommonsenseqa(_: str, record: Any) -> Iterator[Row]:
    choices = [str(record[f"choice{number}"]) for number in range(_CHOICES)]
    row_id, answer = str(record["q_id"]), int(record["label"])
    if not 0 <= answer < _CHOICES:
        raise ValueError(f"label {answer}")
    yield {
        "id": row_id,
        "cluster": row_id,
        "question": str(record["question"]),
        "choices": choices,
        "answer": answer,
    }


def _jnli(_: str, record: Any) -> Iterator[Row]:
    label = record["label"]
    yield {
        "id": str(record["sentence_pair_id"]),
        "cluster": str(record["yjcaptions_id"]).split("-")[0],  # several pairs describe one picture
        "premise": str(record["sentence1"]),
        "hypothesis": str(record["sentence2"]),
        "answer": label if isinstance(label, int) else _JNLI_LABELS.index(label),
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
    float(number)
    yield {"id": where, "cluster": where, "question": str(question), "answer": number}


def _jmmlu(where: str, record: Any) -> Iterator[Row]:
    values = list(record.values()) if isinstance(record, dict) else record
    question, *choices, letter = values
    if len(choices) != len(_LETTERS):
        raise ValueError(f"{len(choices)} choices in place of {len(_LETTERS)}")
    answer = _LETTERS.index(str(letter).strip())
    yield {
        "id": where,
        "cluster": where,
        "question": str(question),
        "choices": [str(choice) for choice in choices],
        "answer": answer,
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

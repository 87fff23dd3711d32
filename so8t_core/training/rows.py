"""Rows of a data set as mappings: from a JSON Lines, JSON or Parquet file, or from the hub."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from so8t_core.contract.errors import DataError, InputInvalid
from so8t_core.contract.hub import hub_rows
from so8t_core.contract.plain import plain_text
from so8t_core.contract.settings.tasks import HUB
from so8t_core.training.outside import require_file

Row = dict[str, Any]
_UNREADABLE = (pyarrow.ArrowException, OSError, ValueError, ArithmeticError, LookupError)
"""Besides Arrow's own: damaged pages; text that is not UTF-8, times that Python has no word for."""
_FORM = "Each line must hold one JSON object; a file that is one list of them is named .json."


def read_rows(place: Path | str, setting: str = "train.dataset") -> Iterator[Row]:
    """The rows of a `.jsonl`, `.json` or `.parquet` file, or of `hub:OWNER/NAME[:CONFIG][@SPLIT]`.

    `.json` may hold one object a line or one list of objects; a data set of the hub is read whole,
    its split `train` unless another is named. `setting` is what errors tell the reader to look at.
    Raises `InputMissing` where there is nothing, `InputInvalid` for another or a damaged kind,
    `DataError` for a row that is none, `Unreachable` where the hub does not answer.
    """
    if isinstance(place, str) and place.startswith(HUB):
        with _readable("The data set of the hub is not readable", place):
            yield from hub_rows(place, split="train")
        return
    path = Path(place)
    require_file(path, setting)
    reader = {".jsonl": _json_lines, ".json": _json_file, ".parquet": _parquet_rows}.get(
        path.suffix.lower()
    )
    if reader is None:
        raise InputInvalid(
            f"The data set has the unknown suffix {path.suffix!r}.",
            where=str(path),
            hint="Use .jsonl, .json or .parquet; unpack a compressed file first.",
        )
    yield from reader(path)


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:  # text mode would name no line where a byte is wrong
        for number, line in enumerate(file, 1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if content.strip():
                yield _row(_parsed(content, f"{path}:{number}"), f"{path}:{number}")


def _json_file(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        start = file.read(1024).removeprefix(codecs.BOM_UTF8).lstrip()
    if not start.startswith(b"["):
        yield from _json_lines(path)
        return
    rows = _parsed(path.read_bytes().removeprefix(codecs.BOM_UTF8), str(path))
    for number, row in enumerate(rows, 1):
        yield _row(row, f"{path}: element {number}")


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise DataError(
            "The data set is not text in UTF-8.",
            where=where,
            hint="Convert it (`iconv -f SHIFT_JIS -t UTF-8`), or unpack it if it is compressed.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            "This part of the data set is not JSON.", where=where, hint=_FORM
        ) from error


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError("This part of the data set is no JSON object.", where=where, hint=_FORM)
    return value


def _parquet_rows(path: Path) -> Iterator[Row]:
    with (
        _readable("The file is no readable Parquet", str(path)),
        pyarrow.parquet.ParquetFile(path) as file,
    ):
        for batch in file.iter_batches():
            yield from batch.to_pylist()


@contextmanager
def _readable(what: str, where: str) -> Iterator[None]:
    """Raise `InputInvalid` for what Arrow cannot read, and for values that Python cannot hold."""
    try:
        yield
    except _UNREADABLE as error:
        told = plain_text(str(error) or type(error).__name__, limit=160)
        raise InputInvalid(
            f"{what} ({told}).",
            where=where,
            hint="Write or fetch it again; leave out columns that no format has.",
        ) from error

"""The rows of the data sets, and their Parquet files written by Hugging Face `datasets`.

Files hold no times and are equal to the byte when written again from the same rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow

from so8t_core.cleanse.document import Drop, Frozen
from so8t_core.contract.files import replacing

_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 500_000
_ROW_GROUP_ROWS = 10_000
_ROW_GROUP_BYTES = 100_000_000  # what datasets aims at


class CorpusRow(Frozen):
    """A page of prose; `date` and `language` are what the page says of itself, or empty."""

    id: str
    url: str
    host: str
    title: str
    text: str
    date: str
    language: str
    licence: str
    group: str


class InstructionRow(Frozen):
    """An instruction pair; `input` may be empty, `output` is human text found on the page."""

    id: str
    instruction: str
    input: str
    output: str
    rule: str
    url: str
    host: str
    licence: str
    group: str

    @property
    def comparable_text(self) -> str:
        """All of it, as it is compared with other texts."""
        return "\n".join(part for part in (self.instruction, self.input, self.output) if part)


class SafetyRow(Frozen):
    """A passage with its label; `response` is the refusal, synthetic; empty for ALLOW."""

    id: str
    text: str
    label: str
    categories: list[str]
    response: str
    url: str
    group: str


class ThinkingRow(Frozen):
    """A sample in four parts; `synthetic` names the parts of `output` that no page has."""

    id: str
    instruction: str
    input: str
    output: str
    label: str
    synthetic: list[str]
    rule: str
    url: str
    host: str
    licence: str
    group: str


Row = CorpusRow | InstructionRow | SafetyRow | ThinkingRow | Drop


class TableWriter:
    """Writes rows to a Parquet file as they come, in the order of their URLs.

    Rows of one URL are sorted. They gather in an Arrow file in `scratch`, from which Hugging Face
    `datasets` writes the Parquet file, so that memory holds a thousand rows of usual size, and then
    one row group. A file without rows keeps its columns.
    """

    def __init__(self, path: Path, kind: type[Row], scratch: Path) -> None:
        import datasets  # takes two seconds to import, which workers and watchers need not spend

        self.path = path
        self.count = 0
        self._features = datasets.Features(
            {
                name: datasets.List(datasets.Value("string"))
                if field.annotation == list[str]
                else datasets.Value("string")
                for name, field in kind.model_fields.items()
            }
        )
        scratch.mkdir(parents=True, exist_ok=True)
        self._arrow = scratch / f"{path.parent.name}-{path.stem}.arrow"
        self._writer = pyarrow.RecordBatchStreamWriter(
            str(self._arrow), self._features.arrow_schema
        )
        self._same_url: list[Row] = []
        self._waiting: list[dict[str, Any]] = []
        self._characters = 0

    def add(self, row: Row) -> None:
        """Take a row, whose URL is the last one's or comes after it."""
        self.count += 1
        if self._same_url and self._same_url[0].url != row.url:
            self._settle()
        self._same_url.append(row)

    def _settle(self) -> None:
        for row in sorted(self._same_url, key=_order):
            cells = row.model_dump()
            self._waiting.append(cells)
            self._characters += sum(map(len, cells.values()))
            if len(self._waiting) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
                self._write_batch()
        self._same_url = []

    def _write_batch(self) -> None:
        schema = self._features.arrow_schema
        self._writer.write_batch(pyarrow.RecordBatch.from_pylist(self._waiting, schema=schema))
        self._waiting, self._characters = [], 0

    def close(self) -> None:
        """Write the Parquet file durably."""
        import datasets

        self._settle()
        self._write_batch()
        self._writer.close()
        data = datasets.Dataset.from_file(
            str(self._arrow), info=datasets.DatasetInfo(features=self._features)
        )
        shown = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            with replacing(self.path) as partial:
                data.to_parquet(str(partial), batch_size=_row_group(data.data.nbytes, len(data)))
        finally:
            if not shown:
                datasets.enable_progress_bars()
        self._arrow.unlink()


def _row_group(size_bytes: int, rows: int) -> int:
    """Rows of a row group, which a reader and a writer hold in memory."""
    fitting = rows * _ROW_GROUP_BYTES // max(1, size_bytes)
    return max(1, min(_ROW_GROUP_ROWS, fitting))


def _order(row: Row) -> tuple[str, ...]:
    if isinstance(row, Drop):
        return (row.url, row.id, row.step, row.reason, row.detail)
    return (row.url, row.id)

"""The rows of the data sets, and their Parquet files written by Hugging Face `datasets`.

Files hold no times and are equal to the byte when written again from the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from so8t_core.cleanse.document import Drop, Frozen
from so8t_core.contract.files import replacing


class CorpusRow(Frozen):
    """A page of prose."""

    id: str
    url: str
    host: str
    title: str
    text: str
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


def write_parquet(path: Path, kind: type[Row], rows: Sequence[Row]) -> None:
    """Write rows durably, sorted by URL and id; an empty file keeps its columns."""
    import datasets  # takes two seconds to import, which workers and watchers need not spend

    features = datasets.Features(
        {
            name: datasets.List(datasets.Value("string"))
            if field.annotation == list[str]
            else datasets.Value("string")
            for name, field in kind.model_fields.items()
        }
    )
    ordered = [row.model_dump() for row in sorted(rows, key=_order)]
    columns: dict[str, list[Any]] = {name: [row[name] for row in ordered] for name in features}
    data = datasets.Dataset.from_dict(columns, features=features)
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with replacing(path) as partial:
            data.to_parquet(str(partial))
    finally:
        if not shown:
            datasets.enable_progress_bars()


def _order(row: Row) -> tuple[str, ...]:
    if isinstance(row, Drop):
        return (row.url, row.id, row.step, row.reason, row.detail)
    return (row.url, row.id)

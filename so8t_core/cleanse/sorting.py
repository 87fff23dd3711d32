"""Sorting rows that do not fit in memory: sorted runs in files, merged when they are read."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_RUN_ROWS = 20_000

Cells = tuple[Any, ...]
"""A row: texts, numbers and nothing else, so that rows of one sorter can be compared."""


class Sorter:
    """Takes rows in any order and gives them back sorted; memory holds one run of 20,000."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._base = folder / name
        self._rows: list[Cells] = []
        self._runs: list[Path] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, *row: Any) -> None:
        """Take one row."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) >= _RUN_ROWS:
            self._write_run()

    def _write_run(self) -> None:
        path = self._base.with_name(f"{self._base.name}-{len(self._runs):05}.jsonl")
        self._rows.sort()
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self._rows)
        self._runs.append(path)
        self._rows = []

    def __iter__(self) -> Iterator[Cells]:
        """All rows in order; may be asked for more than once."""
        self._rows.sort()
        return heapq.merge(*map(_read_run, self._runs), self._rows)


def _read_run(path: Path) -> Iterator[Cells]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield tuple(json.loads(line))

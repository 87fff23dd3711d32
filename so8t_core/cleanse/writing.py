"""Writing the data sets, the ledger and the card, and counting what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.cleanse.dataset_card import write_card
from so8t_core.cleanse.document import Drop
from so8t_core.cleanse.gather import Gathered
from so8t_core.cleanse.rows import PageRows
from so8t_core.cleanse.sorting import Sorter
from so8t_core.cleanse.split import SPLITS, Split
from so8t_core.cleanse.tables import (
    CorpusRow,
    InstructionRow,
    Row,
    SafetyRow,
    TableWriter,
    ThinkingRow,
)
from so8t_core.cleanse.thinking import thinking_row
from so8t_core.contract.files import sha256_file
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import CleanseSettings

_TABLES: tuple[tuple[str, type[Row]], ...] = (
    ("corpus", CorpusRow),
    ("instruction", InstructionRow),
    ("safety", SafetyRow),
    ("thinking", ThinkingRow),
)


class Ledger:
    """Every drop, on disk until it is written."""

    def __init__(self, scratch: Path) -> None:
        self._drops = Sorter(scratch, "ledger")
        self._scratch = scratch

    def note(self, drop: Drop) -> None:
        """Take a drop."""
        self._drops.add(drop.url, drop.id, drop.step, drop.reason, drop.detail)

    def write(self, path: Path) -> None:
        """Write the file durably."""
        writer = TableWriter(path, Drop, self._scratch)
        for url, name, step, reason, detail in self._drops:
            writer.add(Drop(id=name, url=url, step=step, reason=reason, detail=detail))
        writer.close()


@dataclass
class _Counts:
    """What is in the data sets."""

    characters: int = 0
    text_bytes: int = 0
    left_out: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)

    def add(self, rows: PageRows) -> None:
        for row in rows.corpus:
            self.characters += len(row.text)
            self.text_bytes += len(row.text.encode())
            self.licences[row.licence] += 1
            self.hosts[row.host] += 1
        self.rules.update(row.rule for row in rows.instruction)
        self.labels.update(row.label for row in rows.safety)


@dataclass
class DataSets:
    """The files of all data sets in the phase's folder."""

    folder: Path
    settings: CleanseSettings
    scratch: Path
    counts: _Counts = field(default_factory=_Counts)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def write(self, gathered: Gathered, tick: Callable[[], None]) -> None:
        """Write every table, each row to the file of its split."""
        writers = {
            (name, split): TableWriter(self._path(name, split), kind, self.scratch)
            for name, kind in _TABLES
            for split in SPLITS
        }
        for number, split, rows in gathered.rows_by_page():
            tick()
            self.counts.add(rows)
            for table, row in self._with_thinking(rows, gathered.catalogue.masked(number)):
                writers[table, split].add(row)
        for (name, split), writer in writers.items():
            tick()
            writer.close()
            self.rows.setdefault(name, {})[split] = writer.count
            self._hash(writer.path)

    def _path(self, name: str, split: Split) -> Path:
        return self.folder / name / f"{split}.parquet"

    def _with_thinking(self, rows: PageRows, masked: int) -> list[tuple[str, Row]]:
        """The rows of a page with the name of their table."""
        found: list[tuple[str, Row]] = [("corpus", row) for row in rows.corpus]
        asked: list[InstructionRow | SafetyRow] = list(rows.instruction)
        asked += [row for row in rows.safety if row.label != SafetyLabel.ALLOW.value]
        for row in asked:
            thought = thinking_row(row, masked, self.settings)
            self.counts.left_out += thought is None
            found += [("thinking", thought)] if thought is not None else []
        found += [("instruction", row) for row in rows.instruction]
        return [*found, *(("safety", row) for row in rows.safety)]

    def _hash(self, path: Path) -> None:
        self.files[path.relative_to(self.folder).as_posix()] = sha256_file(path)

    def write_ledger(self, ledger: Ledger) -> None:
        """Write the ledger beside the tables."""
        path = self.folder / "ledger.parquet"
        ledger.write(path)
        self._hash(path)

    def write_card(self, figures: Mapping[str, Any]) -> None:
        """Write the card, which names all other files."""
        path = self.folder / "dataset_card.md"
        write_card(path, self.counts.hosts, figures, self.files)
        self._hash(path)

    def figures(self, gathered: Gathered) -> dict[str, Any]:
        """What the report shows of the data sets."""
        counts = self.counts
        return {
            "rows": self.rows,
            "characters_out": counts.characters,
            "text_bytes_out": counts.text_bytes,
            "pairs_by_rule": dict(sorted(counts.rules.items())),
            "pairs_dropped": dict(sorted(gathered.pair_drops.items())),
            "safety_rows_by_label": dict(sorted(counts.labels.items())),
            "pages_by_licence": dict(sorted(counts.licences.items())),
            "hosts": len(counts.hosts),
            "groups": gathered.groups,
            "pages_with_repeated_passages": gathered.passages,
            "groups_moved_at_border": gathered.border_moves,
            "thinking_left_out": counts.left_out,
        }

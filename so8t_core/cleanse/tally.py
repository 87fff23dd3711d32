"""Counting what happened, for the live panel and for the report alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.cleanse.language import JAPANESE
from so8t_core.cleanse.passes import NOT_JAPANESE
from so8t_core.cleanse.shards import judged, prepared, seconds
from so8t_core.contract.labels import SafetyLabel


@dataclass
class Tally:
    """Counters of the two passes, filled from finished shards."""

    documents: int = 0
    bytes_in: int = 0
    characters_in: int = 0
    text_bytes_out: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    boilerplate_lines: int = 0
    broken_json_ld: int = 0
    work_s: float = 0.0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    personal_data: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    pages_masked: int = 0
    seen: set[Path] = field(default_factory=set)

    def add_prepared(self, path: Path) -> None:
        """Count a shard of the first pass, once."""
        if path in self.seen:
            return
        self.seen.add(path)
        self.work_s += seconds(path)
        for line in prepared(path):
            self.documents += 1
            self.bytes_in += line.bytes_in
            self.characters_in += line.characters_in
            self.broken_json_ld += line.broken_json_ld
            self.personal_data.update(line.personal_data)
            self.pages_masked += bool(line.personal_data)
            if line.document is not None:
                self.languages[JAPANESE] += 1
            if line.drop is not None:
                self.dropped[line.drop.reason] += 1
                if line.drop.reason == NOT_JAPANESE:
                    self.languages[line.drop.detail] += 1

    def add_judged(self, path: Path) -> None:
        """Count a shard of the second pass, once."""
        if path in self.seen:
            return
        self.seen.add(path)
        self.work_s += seconds(path)
        for line in judged(path):
            self.boilerplate_lines += line.boilerplate_lines
            if line.fate == "keep":
                self.kept += 1
                self.text_bytes_out += len(line.document.text.encode())
            if line.fate == "flagged":
                self.dropped["flagged"] += 1
            elif line.drop is not None:
                self.dropped[line.drop.reason] += 1
            self.labels[line.flags[0].label if line.fate == "flagged" else SafetyLabel.ALLOW] += 1
            self.categories.update(category for flag in line.flags for category in flag.categories)

    def add_duplicates(self, drops: Mapping[str, int]) -> None:
        """Move documents that turned out to be duplicates, by reason, from kept to dropped."""
        self.kept -= sum(drops.values())
        self.dropped.update(drops)

    def live(self) -> dict[str, Any]:
        """What the panel shows while the phase runs."""
        return {
            "kept": self.kept,
            "bytes_in": self.bytes_in,
            "bytes_out": self.text_bytes_out,
            "languages": dict(sorted((+self.languages).items())),
            "dropped": dict(sorted(self.dropped.items())),
            "personal_data": dict(sorted(self.personal_data.items())),
            "labels": dict(sorted(self.labels.items())),
            "duplicates": {kind: self.dropped[f"{kind}_duplicate"] for kind in ("exact", "near")},
        }

    def figures(self) -> dict[str, Any]:
        """What the report shows."""
        return {
            "documents_in": self.documents,
            "documents_kept": self.kept,
            "documents_dropped": sum(self.dropped.values()),
            "dropped_by_reason": dict(sorted(self.dropped.items())),
            "duplicates_exact": self.dropped["exact_duplicate"],
            "duplicates_near": self.dropped["near_duplicate"],
            "personal_data_masked": dict(sorted(self.personal_data.items())),
            "pages_with_personal_data": self.pages_masked,
            "labels": dict(sorted(self.labels.items())),
            "unsafe_categories": dict(sorted(self.categories.items())),
            "boilerplate_lines_removed": self.boilerplate_lines,
            "broken_json_ld_blocks": self.broken_json_ld,
            "payload_bytes_in": self.bytes_in,
            "characters_in": self.characters_in,
            "work_s": round(self.work_s, 3),
            "documents_per_core_s": round(self.documents / self.work_s, 1) if self.work_s else 0.0,
        }

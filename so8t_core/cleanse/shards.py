"""Shards: the unit of durable progress. A shard's file exists only when it is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from so8t_core.cleanse.boilerplate import Lines
from so8t_core.cleanse.document import Document, Judged, Prepared
from so8t_core.cleanse.passes import judge, prepare
from so8t_core.cleanse.source import PageRow
from so8t_core.contract.files import replacing
from so8t_core.contract.settings.cleanse import CleanseSettings

Tick = Callable[[], None]
"""Called after each document; may wait while the run is paused, or raise to stop."""

_Line = TypeVar("_Line", bound=BaseModel)


@dataclass(frozen=True)
class PrepareJob:
    """First pass over one shard: rows of the page index to `target`."""

    target: Path
    rows: tuple[PageRow, ...]
    crawl: Path
    settings: CleanseSettings

    @property
    def size(self) -> int:
        """Documents in the shard."""
        return len(self.rows)

    def run(self, tick: Tick) -> None:
        """Write the shard durably."""
        _write(self.target, (prepare(row, self.crawl, self.settings) for row in self.rows), tick)


@dataclass(frozen=True)
class JudgeJob:
    """Second pass over one shard: `source`, written by the first pass, to `target`."""

    target: Path
    source: Path
    boilerplate: Path
    settings: CleanseSettings
    size: int

    def run(self, tick: Tick) -> None:
        """Write the shard durably."""
        names = read_boilerplate(self.boilerplate)
        _write(
            self.target,
            (
                judge(document, names.get(document.host, frozenset()), self.settings)
                for document in documents(self.source)
            ),
            tick,
        )


Job = PrepareJob | JudgeJob


def _write(target: Path, lines: Iterable[BaseModel], tick: Tick) -> None:
    """One JSON line each; the last line holds the seconds of work."""
    started = time.perf_counter()
    with replacing(target) as partial, partial.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line.model_dump_json() + "\n")
            tick()
        file.write(json.dumps({"seconds": time.perf_counter() - started}) + "\n")


def _read(path: Path, kind: type[_Line]) -> Iterator[_Line]:
    with path.open(encoding="utf-8") as file:
        previous = ""
        for line in file:
            if previous:
                yield kind.model_validate_json(previous)
            previous = line


def prepared(path: Path) -> Iterator[Prepared]:
    """What the first pass left in a shard."""
    return _read(path, Prepared)


def documents(path: Path) -> Iterator[Document]:
    """The documents of a shard of the first pass, without the drops."""
    return (line.document for line in prepared(path) if line.document is not None)


def judged(path: Path) -> Iterator[Judged]:
    """What the second pass left in a shard."""
    return _read(path, Judged)


def seconds(path: Path) -> float:
    """Seconds of work in a shard."""
    last = path.read_text(encoding="utf-8").rsplit("\n", 2)[-2]
    return float(json.loads(last)["seconds"])


def write_boilerplate(path: Path, lines: Lines) -> None:
    """Write the names of boilerplate lines of each host durably."""
    with replacing(path) as partial:
        partial.write_text(json.dumps({host: sorted(names) for host, names in lines.items()}))


def read_boilerplate(path: Path) -> dict[str, frozenset[str]]:
    """The names of boilerplate lines of each host."""
    raw: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return {host: frozenset(names) for host, names in raw.items()}

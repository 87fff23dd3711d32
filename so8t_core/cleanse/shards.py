"""Shards: the unit of durable progress. A shard's file exists only when it is complete.

A job is one pass over one shard. It can be written to a file and read again on any machine that
sees the same folders; the file names no page, only where its line stands in the page index.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from so8t_core.cleanse.boilerplate import Lines
from so8t_core.cleanse.document import Document, Drop, Judged, Prepared, identifier
from so8t_core.cleanse.passes import judge, prepare
from so8t_core.cleanse.pii import mask_url
from so8t_core.cleanse.source import PageRow, rows_at
from so8t_core.contract.files import replacing, write_text
from so8t_core.contract.settings.cleanse import CleanseSettings

Tick = Callable[[int], None]
"""Called with the number of each document before it is worked on, and with the whole number at the
end; may wait while the run is paused, or raise to stop."""

SKIP_SUFFIX = ".skip"
"""Beside a shard: the numbers of documents that ended their worker twice, and how."""

KILLED, HUNG = "worker_killed", "worker_hung"
"""Reasons of documents that ended their worker twice."""

_Line = TypeVar("_Line", bound=BaseModel)


@dataclass(frozen=True)
class PrepareJob:
    """First pass over one shard: lines of the page index, by their places, to `target`."""

    target: Path
    places: Sequence[int]
    crawl: Path
    settings: CleanseSettings

    @property
    def size(self) -> int:
        """Documents in the shard."""
        return len(self.places)

    def run(self, tick: Tick) -> None:
        """Write the shard durably."""
        skipped = skipped_documents(self.target)

        def one(number: int, row: PageRow) -> Prepared:
            page = {"id": identifier(row.url), "url": mask_url(row.url), "step": "worker"}
            if number in skipped:
                return Prepared(drop=Drop(**page, reason=skipped[number]))
            try:
                return prepare(row, self.crawl, self.settings)
            except Exception as error:  # noqa: BLE001  one page may not end the shard; it is counted
                failed = Drop(**page, reason="failed", detail=type(error).__name__)
                return Prepared(drop=failed)

        _write(self.target, rows_at(self.crawl, self.places), one, tick)

    def as_json(self) -> dict[str, Any]:
        """The job as JSON values."""
        return {"step": "prepare", "places": list(self.places), "crawl": str(self.crawl)}


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
        skipped = skipped_documents(self.target)

        def one(number: int, document: Document) -> Judged:
            page = {"id": document.id, "url": document.url, "step": "worker"}
            if number in skipped:
                drop = Drop(**page, reason=skipped[number])
                return Judged(document=without_text(document), fate="drop", drop=drop)
            try:
                return judge(document, names.get(document.host, frozenset()), self.settings)
            except Exception as error:  # noqa: BLE001  one page may not end the shard; it is counted
                drop = Drop(**page, reason="failed", detail=type(error).__name__)
                return Judged(document=without_text(document), fate="drop", drop=drop)

        _write(self.target, documents(self.source), one, tick)

    def as_json(self) -> dict[str, Any]:
        """The job as JSON values."""
        return {
            "step": "judge",
            "source": str(self.source),
            "boilerplate": str(self.boilerplate),
            "size": self.size,
        }


Job = PrepareJob | JudgeJob


def without_text(document: Document) -> Document:
    """A document of which only the name is left."""
    return document.model_copy(update={"text": "", "title": "", "pairs": ()})


def write_job(path: Path, job: Job) -> None:
    """Write a job for a worker on any machine that sees these folders."""
    settings = job.settings.model_dump(mode="json")
    value = job.as_json() | {"target": str(job.target), "settings": settings}
    write_text(path, json.dumps(value))


def read_job(path: Path) -> Job:
    """Read a job that `write_job` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    target = Path(value["target"])
    settings = CleanseSettings.model_validate(value["settings"])
    if value["step"] == "prepare":
        return PrepareJob(target, tuple(value["places"]), Path(value["crawl"]), settings)
    source, boilerplate = Path(value["source"]), Path(value["boilerplate"])
    return JudgeJob(target, source, boilerplate, settings, value["size"])


def skipped_documents(target: Path) -> dict[int, str]:
    """Numbers of the documents of a shard that are left out, each with its reason."""
    path = target.with_name(target.name + SKIP_SUFFIX)
    if not path.is_file():
        return {}
    return {int(number): reason for number, reason in json.loads(path.read_text()).items()}


def skip_documents(target: Path, reasons: Mapping[int, str]) -> None:
    """Have documents of a shard left out the next time that it is worked on, durably."""
    path = target.with_name(target.name + SKIP_SUFFIX)
    write_text(path, json.dumps(dict(sorted(reasons.items()))))


_Item = TypeVar("_Item")


def _write(
    target: Path, items: Iterable[_Item], one: Callable[[int, _Item], BaseModel], tick: Tick
) -> None:
    """One JSON line for each item; the last line holds the seconds of work."""
    started = time.perf_counter()
    number = -1
    with replacing(target) as partial, partial.open("w", encoding="utf-8") as file:
        for number, item in enumerate(items):
            tick(number)
            file.write(one(number, item).model_dump_json() + "\n")
        tick(number + 1)
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


def masked_counts(path: Path) -> Iterator[int]:
    """For each document of a shard of the first pass, how many values were masked on its page."""
    lines = (line for line in prepared(path) if line.document is not None)
    return (sum(line.personal_data.values()) for line in lines)


def judged(path: Path) -> Iterator[Judged]:
    """What the second pass left in a shard."""
    return _read(path, Judged)


def judged_with_places(path: Path) -> Iterator[tuple[int, int, Judged]]:
    """The same, each behind the place where its line begins and the line's size, in bytes."""
    place = 0
    with path.open("rb") as file:
        previous = b""
        for line in file:
            if previous:
                yield place, len(previous), Judged.model_validate_json(previous)
                place += len(previous)
            previous = line


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

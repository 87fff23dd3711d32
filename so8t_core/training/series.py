"""Series on disk: one JSON line a step, cut back exactly when training resumes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from so8t_core.contract.files import canonical_json

if TYPE_CHECKING:
    from hashlib import _Hash


@dataclass(frozen=True)
class SeriesMark:
    """How far a series had come: its length in bytes and the SHA-256 of these bytes."""

    size_bytes: int
    sha256: str


START = SeriesMark(0, hashlib.sha256().hexdigest())
"""The mark of an empty series."""


class SeriesFile:
    """An append-only file of JSON objects. Floats are written so that they read back exactly."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._content = hashlib.sha256(path.read_bytes())

    def append(self, values: Mapping[str, float]) -> None:
        """Add one line; it survives the end of the process, and after `sync` that of the power."""
        line = (canonical_json(dict(values)) + "\n").encode()
        self._file.write(line)
        self._file.flush()
        self._content.update(line)

    def mark(self) -> SeriesMark:
        """The place that `rewind` returns to."""
        return SeriesMark(self._file.tell(), self._content.hexdigest())

    def sync(self) -> None:
        """Make all lines durable; any thread may ask for it."""
        os.fsync(self._file.fileno())

    def holds(self, mark: SeriesMark) -> bool:
        """Whether what lies before the mark is what it was."""
        return self._before(mark).hexdigest() == mark.sha256

    def rewind(self, mark: SeriesMark) -> None:
        """Forget all lines after the mark, which it must hold, durably."""
        self._content = self._before(mark)
        self._file.truncate(mark.size_bytes)
        os.fsync(self._file.fileno())
        self._file.seek(mark.size_bytes)

    def begin_anew(self) -> None:
        """Become empty; what is there is kept as NAME.damaged, unless there is such a file."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        if self.path.stat().st_size and not aside.exists():
            self._file.close()
            os.replace(self.path, aside)
            self._file = self.path.open("ab")
        self.rewind(START)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _before(self, mark: SeriesMark) -> _Hash:
        return hashlib.sha256(self.path.read_bytes()[: mark.size_bytes])


def read_series(path: Path) -> Iterator[dict[str, float]]:
    """The lines of a series, in order."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)

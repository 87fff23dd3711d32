"""Which artifacts of an export are complete, so that a resume does not make them again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import write_json


@dataclass(frozen=True)
class ExportProgress:
    """A small JSON file: for each artifact what it was made from, its size, and what was found."""

    path: Path

    def make(
        self, artifact: Path, made_from: str, build: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """The facts of `artifact`, built now unless it is complete and made from the same.

        `artifact` is a file or folder beside or below the progress file, and must be put in place
        atomically by `build`. `made_from` is the digest of everything it depends on.
        """
        name = artifact.relative_to(self.path.parent).as_posix()
        entry = self._read().get(name)
        if (
            entry is not None
            and entry["made_from"] == made_from
            and artifact.exists()
            and size_of(artifact) == entry["size_bytes"]
        ):
            facts: dict[str, Any] = entry["facts"]
            return facts
        facts = build()
        entry = {"made_from": made_from, "size_bytes": size_of(artifact), "facts": facts}
        write_json(self.path, {**self._read(), name: entry})
        return facts

    def _read(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StoreError(
                "The record of exported files is damaged.",
                where=str(self.path),
                hint="Remove it; the files will be made again.",
            ) from error
        return value


def size_of(artifact: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if artifact.is_file():
        return artifact.stat().st_size
    return sum(file.stat().st_size for file in artifact.rglob("*") if file.is_file())

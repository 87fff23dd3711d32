"""What happened to a training over all its processes; figures only, never part of the result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from so8t_core.contract.errors import CheckpointError
from so8t_core.contract.files import write_json


@dataclass(frozen=True)
class History:
    """`starts`: processes that began; `threads`: CPU threads of the first of them."""

    starts: int = 0
    threads: int | None = None
    checkpoints_written: int = 0
    rejected_checkpoints: tuple[str, ...] = ()
    train_s: float = 0.0


class HistoryFile:
    """The history, durable after each change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = History()
        if path.is_file():
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                rejected = tuple(raw.pop("rejected_checkpoints"))
                self.now = History(**raw, rejected_checkpoints=rejected)
            except (ValueError, TypeError, KeyError) as error:
                raise CheckpointError(
                    "The history of the training cannot be read.",
                    where=str(path),
                    hint="Remove the file; only the counts of starts and checkpoints are lost.",
                ) from error

    def change(self, **fields: object) -> None:
        """Set fields and write the file."""
        self.now = replace(self.now, **fields)  # type: ignore[arg-type]  # checked by replace
        write_json(self.path, asdict(self.now))

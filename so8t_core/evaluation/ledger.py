"""Results of single items, appended durably, so that a kill repeats at most one of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import canonical_json


@dataclass
class ItemLedger:
    """A JSONL file of `{"key", "result"}`; open it as a context manager.

    A last line that a kill cut short is removed on opening. Results of other settings or models
    stay in the file under other keys and are not seen.
    """

    path: Path
    _results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __enter__(self) -> ItemLedger:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._descriptor, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = json.loads(line)
                self._results[entry["key"]] = entry["result"]
            except (ValueError, KeyError, TypeError) as error:
                os.close(self._descriptor)
                raise StoreError(
                    "A line of the item results is damaged.",
                    where=f"{self.path}:{number}",
                    hint="Remove the file; the items will be evaluated again.",
                ) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._results[key]

    def append(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result; durable on return."""
        line = canonical_json({"key": key, "result": result}) + "\n"
        os.write(self._descriptor, line.encode())
        os.fsync(self._descriptor)
        self._results[key] = result

"""What the server saw, one JSON line a request: a crawler's politeness is judged from this side."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Access:
    """One request. Times in seconds: `wall_s` since the epoch, the others on a monotonic clock."""

    host: str
    path: str
    method: str
    status: int
    user_agent: str
    wall_s: float
    started_s: float
    finished_s: float

    @property
    def url(self) -> str:
        return f"http://{self.host}{self.path}"


class AccessLog:
    """Appends requests to a file; a line that a kill tore is cut away when it is opened again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            os.truncate(self._path, self._path.read_bytes().rfind(b"\n") + 1)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self

    def append(self, access: Access) -> None:
        """Write one line with a single system call."""
        os.write(self._descriptor, (json.dumps(asdict(access)) + "\n").encode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


def read_access_log(path: Path) -> tuple[Access, ...]:
    """Every whole line of an access log, in the order in which requests were answered."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return tuple(Access(**json.loads(line)) for line in whole.splitlines())

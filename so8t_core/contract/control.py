"""The control state: what the user wants. Level-triggered, revisioned, safe for many writers."""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from so8t_core.contract.database import is_blank, open_reading, outside_cause
from so8t_core.contract.errors import ControlConflict, StoreError
from so8t_core.contract.phases import PhaseName

Desired = Literal["running", "paused", "stopped"]
PauseMode = Literal["soft", "hard"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS control (
    revision INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    wanted TEXT NOT NULL
)
"""
_CONFLICT_TRIES = 20


@dataclass(frozen=True)
class Control:
    """What is wanted.

    `retry` and `skip` hold counters by phase: the engine acts when a counter is above the one
    that it last acted on, so a request is neither lost nor done twice.
    """

    revision: int = 0
    desired: Desired = "running"
    mode: PauseMode = "soft"
    retry: dict[PhaseName, int] = field(default_factory=dict)
    skip: dict[PhaseName, int] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    who: str = ""
    at: float = 0.0

    def retrying(self, phase: PhaseName) -> Control:
        """Wanted once more: another try of a phase."""
        return replace(self, retry={**self.retry, phase: self.retry.get(phase, 0) + 1})

    def skipping(self, phase: PhaseName) -> Control:
        """Wanted once more: that a phase is skipped."""
        return replace(self, skip={**self.skip, phase: self.skip.get(phase, 0) + 1})


_WANTED_FIELDS = tuple(f.name for f in fields(Control) if f.name not in {"revision", "who", "at"})


def this_user() -> str:
    """Who asks: user name and process."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}/{os.getpid()}"


_NEWEST = "SELECT revision, at, who, wanted FROM control ORDER BY revision DESC LIMIT 1"
_MADE_ANEW = "Remove the file: it is made anew, and what was asked for is asked for again."


def _unusable(path: Path, doing: str, error: Exception) -> StoreError:
    what, hint = outside_cause(error) or (str(error), _MADE_ANEW)
    return StoreError(f"The control file cannot be {doing}: {what}.", where=str(path), hint=hint)


def _as_control(row: tuple[int, float, str, str] | None) -> Control:
    """Raises `ValueError` for a row that no `ControlStore` wrote."""
    if row is None:
        return Control()
    wanted = json.loads(row[3])
    if not isinstance(wanted, dict):
        raise ValueError("the newest revision is not an object")
    control = Control(
        revision=row[0],
        at=row[1],
        who=row[2],
        **{key: value for key, value in wanted.items() if key in _WANTED_FIELDS},
    )
    for name, choices in (("desired", get_args(Desired)), ("mode", get_args(PauseMode))):
        if getattr(control, name) not in choices:
            raise ValueError(f"{name} is none of {', '.join(choices)}")
    for name, counters in (("retry", control.retry), ("skip", control.skip)):
        if not isinstance(counters, dict) or any(type(n) is not int for n in counters.values()):
            raise ValueError(f"{name} does not hold counters")
    if not isinstance(control.live, dict):
        raise ValueError("live is not an object")
    return control


def read_control(path: Path) -> Control:
    """What is wanted, read without making or changing any file; the default where there is none.

    Raises `StoreError`.
    """
    if not path.exists():
        return Control()
    try:
        with closing(open_reading(path)) as connection:
            if is_blank(connection):
                return Control()
            return _as_control(connection.execute(_NEWEST).fetchone())
    except (sqlite3.Error, ValueError, RecursionError) as error:
        raise _unusable(path, "read", error) from error


class ControlStore:
    """Reads and writes `control.db`. Every revision is kept: who wanted what, and when."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        except sqlite3.Error as error:
            raise _unusable(path, "opened", error) from error
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            self._connection.close()
            raise _unusable(path, "opened", error) from error

    def read(self) -> Control:
        """The newest revision; the default one where nothing was ever asked.

        Raises `StoreError` when it cannot be read or was not written by a `ControlStore`.
        """
        try:
            return _as_control(self._connection.execute(_NEWEST).fetchone())
        except (sqlite3.Error, ValueError, RecursionError) as error:
            raise _unusable(self._path, "read", error) from error

    def write(self, wanted: Control, *, who: str | None = None) -> Control:
        """Store `wanted` as the revision after the one that it was made from.

        Raises `ControlConflict` when somebody else wrote that revision first, `StoreError` when
        nothing can be written.
        """
        body = {name: getattr(wanted, name) for name in _WANTED_FIELDS}
        stored = replace(
            wanted, revision=wanted.revision + 1, who=who or this_user(), at=time.time()
        )
        try:
            self._connection.execute(
                "INSERT INTO control VALUES (?, ?, ?, ?)",
                (stored.revision, stored.at, stored.who, json.dumps(body)),
            )
        except sqlite3.IntegrityError as error:
            raise ControlConflict(
                "Somebody else changed what is wanted of this run at the same moment.",
                where=str(self._path),
                hint="Look at the state and ask again.",
            ) from error
        except sqlite3.Error as error:
            raise _unusable(self._path, "written", error) from error
        return stored

    def amend(self, change: Callable[[Control], Control], *, who: str | None = None) -> Control:
        """Read, change and write, again on a conflict: for requests that do not depend on a view.

        A change that leaves everything as it is writes nothing.
        """
        for _ in range(_CONFLICT_TRIES):
            current = self.read()
            wanted = change(current)
            if wanted == current:
                return current
            try:
                return self.write(wanted, who=who)
            except ControlConflict:
                continue
        raise ControlConflict(
            "The control state changes too fast to be written.",
            where=str(self._path),
            hint="Is a script steering this run in a loop?",
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> ControlStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

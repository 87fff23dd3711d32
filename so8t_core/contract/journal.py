"""The journal: an SQLite file in WAL mode, one writer, any number of readers."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import cast

from so8t_core.contract.database import (
    is_blank,
    log_of,
    must_be_immutable,
    open_reading,
    outside_cause,
)
from so8t_core.contract.errors import JournalError
from so8t_core.contract.events import DURABLE_KINDS, Draft, Event
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY,
    ts REAL NOT NULL,
    phase TEXT,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL
)
"""


def _unusable(path: Path, error: Exception) -> JournalError:
    cause = outside_cause(error)
    if cause is not None:
        what, hint = cause
        return JournalError(f"The journal cannot be used: {what}.", where=str(path), hint=hint)
    return JournalError(
        f"The journal cannot be read: {error}.",
        where=str(path),
        hint="Move journal.db aside and resume: finished phases are known by their manifests.",
    )


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"The journal has format {version}; this so8t reads up to {SCHEMA_VERSION}.",
            where=str(path),
            hint="Update so8t to the version that wrote the run.",
        )
    return version


class JournalWriter:
    """The sole writer. Numbers events without gaps and commits them in batches."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            self._prepare()
            row = self._connection.execute("SELECT max(seq) FROM events").fetchone()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise _unusable(path, error) from error
        except JournalError:
            self._connection.close()
            raise
        self._last_seq = int(row[0] or 0)

    def _prepare(self) -> None:
        run = self._connection.execute
        if _check_version(self._connection, self._path) == 0:
            run("PRAGMA journal_mode=WAL")
            run(_SCHEMA)
            run(f"PRAGMA user_version={SCHEMA_VERSION}")

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 for an empty journal."""
        return self._last_seq

    def append(self, drafts: Iterable[Draft]) -> list[Event]:
        """Commit the events in order; synced to disk when one of them is of a durable kind.

        Raises `sqlite3.OperationalError` when the disk is full; nothing is then written.
        """
        now = time.time()
        events = [
            Event(self._last_seq + offset, now, draft.phase, draft.kind, draft.payload)
            for offset, draft in enumerate(drafts, start=1)
        ]
        if not events:
            return []
        durable = any(event.kind in DURABLE_KINDS for event in events)
        self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        rows = [
            (
                event.seq,
                event.ts,
                event.phase,
                event.kind,
                json.dumps(event.payload, ensure_ascii=False, separators=(",", ":")),
            )
            for event in events
        ]
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
        self._last_seq = events[-1].seq
        return events

    def close(self) -> None:
        """Close the file; SQLite folds the write-ahead log back into it."""
        self._connection.close()

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class JournalReader:
    """Reads events after a given one; never writes, never blocks the writer.

    A journal that a run does not have yet (or no more), and an empty file, hold no events until
    an engine writes some. Raises `JournalError`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._immutable = False
        if not path.exists() and not RunDir(path.parent).settings_file.is_file():
            raise JournalError(
                "The run has no journal.",
                where=str(path),
                hint="Is this a run directory? `so8t runs` lists them.",
            )
        try:
            self._open()
        except sqlite3.Error as error:
            self.close()
            raise _unusable(path, error) from error
        except JournalError:
            self.close()
            raise

    def _open(self) -> sqlite3.Connection | None:
        """The connection; None while there is nothing to read."""
        if self._immutable and log_of(self._path).exists():
            self.close()
        if self._connection is None and self._path.exists():
            self._immutable = must_be_immutable(self._path)
            connection = open_reading(self._path)
            self._connection = connection
            if _check_version(connection, self._path) == 0 and is_blank(connection):
                self.close()
        return self._connection

    def after(self, seq: int, limit: int = 2000) -> list[Event]:
        """Events with a number above `seq`, oldest first, at most `limit`."""
        try:
            connection = self._open()
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT seq, ts, phase, kind, payload FROM events WHERE seq > ? "
                "ORDER BY seq LIMIT ?",
                (seq, limit),
            ).fetchall()
            return [
                Event(row[0], row[1], cast("PhaseName | None", row[2]), row[3], json.loads(row[4]))
                for row in rows
            ]
        except (sqlite3.DatabaseError, ValueError, TypeError, RecursionError) as error:
            raise _unusable(self._path, error) from error

    def newest(self) -> int:
        """The number of the newest event; 0 where there is none."""
        try:
            connection = self._open()
            if connection is None:
                return 0
            found = connection.execute("SELECT max(seq) FROM events").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise _unusable(self._path, error) from error
        return int(found or 0)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

"""SQLite files of a run: opened for reading wherever they lie, their errors put in words."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

_OUTSIDE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space, then try again."),
    sqlite3.SQLITE_READONLY: (
        "it may only be read here",
        "Check the permissions of the file and its folder, and whether the disk is read-only.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "Check that it is a file, and the permissions of it and its folder.",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", "Check the permissions of the file and its folder."),
    sqlite3.SQLITE_IOERR: (
        "the disk reports an error",
        "Check the disk (or the network drive); the file itself may be whole.",
    ),
    sqlite3.SQLITE_BUSY: ("another process holds it", "Try again in a moment."),
    sqlite3.SQLITE_LOCKED: ("another process holds it", "Try again in a moment."),
}

_READING_CACHE_KIB = 128
"""Watchers read forward, each page once; SQLite would keep 2 MB of them for every open run."""


def outside_cause(error: Exception) -> tuple[str, str] | None:
    """What is wrong around the file and what to do about it; None when the file itself is."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int) or code & 0xFF not in _OUTSIDE:
        return None
    what, hint = _OUTSIDE[code & 0xFF]
    return f"{what} ({error})", hint


def log_of(path: Path) -> Path:
    """The write-ahead log beside a database."""
    return path.with_name(path.name + "-wal")


def must_be_immutable(path: Path) -> bool:
    """Whether SQLite can read the file only when told that nobody writes it.

    It keeps a write-ahead log's index in the folder, and cannot where it may not write; without a
    log there is no need of one.
    """
    folder_is_writable = os.access(
        path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids
    )
    return not folder_is_writable and not log_of(path).exists()


def open_reading(path: Path) -> sqlite3.Connection:
    """Open for reading only, in a folder that may be read-only. Raises `sqlite3.Error`."""
    options = "mode=ro&immutable=1" if must_be_immutable(path) else "mode=ro"
    uri = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute(f"PRAGMA cache_size=-{_READING_CACHE_KIB}")
    return connection


def is_blank(connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever made in the database: a missing or empty file."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None

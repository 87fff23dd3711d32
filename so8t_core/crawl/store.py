"""The database of a crawl: its tables, and how a batch of changes gets into them at once.

A batch goes in as a few statements over JSON arrays. Each statement releases the interpreter's lock
for all of its rows together, so that a thread can write while the crawl goes on.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import StoreError

SCHEMA_VERSION = 3

_TABLES = (
    *("meta", "urls", "pages", "robots", "hosts", "archives", "tallies", "families", "counts"),
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS urls (
    url TEXT PRIMARY KEY, host TEXT NOT NULL, kind TEXT NOT NULL, tier INTEGER NOT NULL,
    depth INTEGER NOT NULL, hops INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'done', 'refused', 'failed', 'deferred')),
    wave INTEGER, tries INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0,
    rule TEXT, source TEXT, detail TEXT, decided_at REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting ON urls (tier, depth, url)
    WHERE state = 'queued' AND wave IS NULL;
DROP INDEX IF EXISTS handed_out;
CREATE INDEX IF NOT EXISTS in_wave ON urls (wave, host, url)
    WHERE state = 'queued' AND wave IS NOT NULL;
CREATE INDEX IF NOT EXISTS set_aside ON urls (not_before) WHERE state = 'deferred';
CREATE TABLE IF NOT EXISTS pages (url TEXT PRIMARY KEY, line TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS robots (
    origin TEXT PRIMARY KEY, host TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    fetched_at REAL NOT NULL, crawl_delay_s REAL NOT NULL, said TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS robots_of_host ON robots (host);
CREATE TABLE IF NOT EXISTS hosts (host TEXT PRIMARY KEY, standing TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS archives (name TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tallies (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS families (
    family TEXT PRIMARY KEY, admitted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    state TEXT NOT NULL, rule TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (state, rule)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS counted_new AFTER INSERT ON urls BEGIN
    INSERT INTO counts VALUES (new.state, coalesce(new.rule, ''), 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS counted_change AFTER UPDATE OF state, rule ON urls
WHEN old.state IS NOT new.state OR old.rule IS NOT new.rule BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state AND rule = coalesce(old.rule, '');
    INSERT INTO counts VALUES (new.state, coalesce(new.rule, ''), 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
"""


def _columns(count: int) -> str:
    return ", ".join(f"json_extract(value, '$[{place}]')" for place in range(count))


_FOUND = f"""
INSERT INTO urls (url, host, kind, tier, depth, hops, state, rule, source, detail, decided_at)
SELECT {_columns(11)} FROM json_each(?) WHERE true
ON CONFLICT (url) DO UPDATE SET
    kind = CASE WHEN urls.state = 'queued' THEN min(kind, excluded.kind) ELSE excluded.kind END,
    tier = min(tier, excluded.tier), depth = min(depth, excluded.depth),
    hops = min(hops, excluded.hops),
    state = 'queued', rule = NULL, source = NULL, detail = NULL, decided_at = NULL
WHERE excluded.state = 'queued' AND (
    (urls.state = 'queued' AND urls.wave IS NULL)
    OR (urls.state = 'refused' AND urls.rule IN ('depth', 'redirects'))
    OR (urls.state = 'refused' AND urls.rule = 'extension' AND excluded.kind != 'page'))
"""  # noqa: S608 - our own words
_DECIDED = f"""
INSERT INTO urls (url, state, rule, source, detail, decided_at, host, kind, tier, depth, hops)
SELECT {_columns(6)}, '', '', 0, 0, 0 FROM json_each(?) WHERE true
ON CONFLICT (url) DO UPDATE SET state = excluded.state, rule = excluded.rule,
    source = excluded.source, detail = excluded.detail, decided_at = excluded.decided_at
"""  # noqa: S608 - our own words
_RETRIED = f"""
INSERT INTO urls (url, tries, not_before, state, host, kind, tier, depth, hops)
SELECT {_columns(3)}, 'queued', '', '', 0, 0, 0 FROM json_each(?) WHERE true
ON CONFLICT (url) DO UPDATE SET tries = excluded.tries, not_before = excluded.not_before
"""  # noqa: S608 - our own words
_ENDED = """
UPDATE urls SET state = ?, not_before = ?, rule = ?, source = ?, detail = ?, decided_at = ?
WHERE state = 'queued' AND wave = ? AND host = ?
"""
_PAGES = f"INSERT OR REPLACE INTO pages SELECT {_columns(2)} FROM json_each(?)"  # noqa: S608
_ROBOTS = f"INSERT OR REPLACE INTO robots SELECT {_columns(7)} FROM json_each(?)"  # noqa: S608
_HOSTS = f"INSERT OR REPLACE INTO hosts SELECT {_columns(2)} FROM json_each(?)"  # noqa: S608
_ARCHIVES = f"INSERT OR REPLACE INTO archives SELECT {_columns(2)} FROM json_each(?)"  # noqa: S608
_TALLIES = f"""
INSERT INTO tallies SELECT {_columns(2)} FROM json_each(?) WHERE true
ON CONFLICT (name) DO UPDATE SET value = value + excluded.value
"""  # noqa: S608 - our own words

_PATIENCE_KEPT = """
UPDATE hosts SET standing = CASE
    WHEN max(json_extract(standing, '$.not_before'), json_extract(standing, '$.away_until'))
        > unixepoch('now')
    THEN json_object('not_before', json_extract(standing, '$.not_before'),
        'away_until', json_extract(standing, '$.away_until'),
        'why', json_extract(standing, '$.why'))
    ELSE '{}' END
"""

Row = list[Any]


@dataclass
class Batch:
    """Changes that become durable together.

    `found`: url, host, kind, tier, depth, hops, state, rule, source, detail, time. `decided`: url,
    state, rule, source, detail, time. `retried`: url, tries, earliest time. `ended`, hosts whose
    URLs of a wave end alike: state, earliest time, rule, source, detail, time, wave, host. The
    others by key.
    """

    found: list[Row] = field(default_factory=list)
    decided: list[Row] = field(default_factory=list)
    retried: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    robots: dict[str, Row] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    archives: dict[str, int] = field(default_factory=dict)
    tallies: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return any(vars(self).values())


class Store:
    """One connection that writes and one that reads what is committed."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises `StoreError` for a damaged file or one of a newer version."""
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.guarded():
            self.writer = sqlite3.connect(
                path, isolation_level="IMMEDIATE", check_same_thread=False
            )
            path.chmod(0o600)
            self.writer.execute("PRAGMA journal_mode = WAL")
            self.writer.execute("PRAGMA synchronous = FULL")
            self.writer.execute("PRAGMA cache_size = -16000")
            self.writer.execute("PRAGMA wal_autocheckpoint = 8000")
            self._refuse_others()
            self.writer.executescript(_SCHEMA)
            self.set_meta("schema_version", str(SCHEMA_VERSION))
            self.writer.commit()
            self.reader = sqlite3.connect(path, isolation_level=None)
            self.reader.execute("PRAGMA query_only = ON")

    def damaged(self, error: Exception) -> StoreError:
        """What to tell of a database that cannot be read or written."""
        if "full" in str(error):
            return StoreError(
                "The crawl's frontier cannot be written: the disk is full.",
                where=str(self._path),
                hint="Free some space and resume; nothing that was reported is lost.",
            )
        return StoreError(
            f"The crawl's frontier cannot be read: {error}.",
            where=str(self._path),
            hint="Remove the run's crawl folder; the crawl starts again.",
        )

    def _refuse_others(self) -> None:
        """Raise `StoreError` for a newer version; drop the tables of an older one."""
        known = self.writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        version = int(self.meta("schema_version") or SCHEMA_VERSION) if known else SCHEMA_VERSION
        if version > SCHEMA_VERSION:
            raise StoreError(
                "The crawl's frontier was written by a newer version of so8t.",
                where=str(self._path),
                hint="Update so8t, or remove the run's crawl folder to crawl again.",
            )
        if version < SCHEMA_VERSION:
            for table in _TABLES:
                self.writer.execute(f"DROP TABLE IF EXISTS {table}")

    def close(self) -> None:
        """Close both connections; what is not committed is dropped."""
        with self._lock:
            self.reader.close()
            self.writer.close()

    def empty(self) -> None:
        """Forget everything but which hosts are to be left alone, with what follows."""
        for table in _TABLES:
            if table != "hosts":
                self.writer.execute(f"DELETE FROM {table}")  # noqa: S608 - our own words
        self.writer.execute(_PATIENCE_KEPT)
        self.writer.execute("DELETE FROM hosts WHERE standing = '{}'")
        self.set_meta("schema_version", str(SCHEMA_VERSION))

    def meta(self, name: str) -> str | None:
        """A note about the crawl as a whole."""
        row = self.writer.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Write such a note."""
        self.writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def write(self, batch: Batch, *, commit: bool = True) -> None:
        """Apply a batch; durable on return with `commit`. May be called from any thread."""
        with self._lock, self.guarded():
            for statement, rows in (
                (_FOUND, batch.found),
                (_DECIDED, batch.decided),
                (_RETRIED, batch.retried),
                (_PAGES, list(batch.pages.items())),
                (_ROBOTS, list(batch.robots.values())),
                (_HOSTS, list(batch.hosts.items())),
                (_ARCHIVES, list(batch.archives.items())),
                (_TALLIES, list(batch.tallies.items())),
            ):
                if rows:
                    self.writer.execute(statement, (json.dumps(rows, ensure_ascii=False),))
            for row in batch.ended:
                self.writer.execute(_ENDED, row)
            if commit:
                self.writer.commit()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn trouble with the database, such as a full disk, into a `StoreError`.

        What was damaged where SQLite does not see it shows as text that is no JSON or no number.
        """
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise self.damaged(error) from error

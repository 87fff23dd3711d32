"""The frontier: every URL that was ever seen and what became of it, in SQLite, safe from kills.

URLs are handed out in waves. A wave holds the first queued URLs in order of (depth, url), no more
than pages are still wanted, and is worked off before the next one opens; what it finds is merged
in a way that doesn't depend on order. So the set of pages is the same whatever the timing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from so8t_core.contract.errors import StoreError
from so8t_core.crawl.census import Census
from so8t_core.crawl.permission import RobotsAnswer
from so8t_core.crawl.robots import Group, Rules
from so8t_core.crawl.scope import Refusal
from so8t_core.crawl.url import host_of

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS urls (
    url TEXT PRIMARY KEY, host TEXT NOT NULL, depth INTEGER NOT NULL, hops INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'in-flight', 'done', 'refused', 'failed')),
    wave INTEGER, tries INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0,
    rule TEXT, source TEXT, detail TEXT, decided_at REAL, page TEXT
);
CREATE INDEX IF NOT EXISTS waiting ON urls (depth, url) WHERE state = 'queued' AND wave IS NULL;
CREATE INDEX IF NOT EXISTS handed_out ON urls (wave, host, url) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS outcomes ON urls (state, rule);
CREATE INDEX IF NOT EXISTS kept ON urls (url) WHERE page IS NOT NULL;
CREATE TABLE IF NOT EXISTS robots (
    origin TEXT PRIMARY KEY, host TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    fetched_at REAL NOT NULL, crawl_delay_s REAL NOT NULL, said TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS robots_of_host ON robots (host);
CREATE TABLE IF NOT EXISTS hosts (
    host TEXT PRIMARY KEY, not_before REAL NOT NULL, suspended INTEGER NOT NULL, why TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS archives (name TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tallies (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""

_ADD = """
INSERT INTO urls (url, host, depth, hops, state, rule, source, detail, decided_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (url) DO UPDATE SET
    depth = min(depth, excluded.depth), hops = min(hops, excluded.hops),
    state = 'queued', rule = NULL, source = NULL, detail = NULL, decided_at = NULL
WHERE excluded.state = 'queued' AND (
    (urls.state = 'queued' AND urls.wave IS NULL)
    OR (urls.state = 'refused' AND urls.rule IN ('depth', 'redirects')))
"""


@dataclass(frozen=True)
class Entry:
    """A URL that is to be fetched. `hops`: redirects that led here; `tries`: earlier tries."""

    url: str
    depth: int
    hops: int
    tries: int

    @property
    def host(self) -> str:
        """The host to be polite to."""
        return host_of(self.url)


@dataclass(frozen=True)
class Hold:
    """A host to be left alone: until `not_before` (since the epoch), or for the whole run."""

    host: str
    not_before: float
    suspended: bool
    why: str


class Frontier:
    """The store of one crawl. Changes become durable with `commit`, all at once.

    `resumed` is true where the file held a crawl already; what was in flight is queued again.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open or create. Raises `StoreError` for a damaged file or one of a newer version.

        A frontier of other settings (another `fingerprint`) or of a crawl that reached nothing is
        emptied: its pages would not be those that are asked for now.
        """
        self._path = path
        self._tallies: Counter[str] = Counter()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, isolation_level="IMMEDIATE")
            self._prepare(fingerprint)
            self.census = Census(self._db)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"The crawl's frontier cannot be read: {error}.",
                where=str(path),
                hint="Remove the run's crawl folder; the crawl starts again.",
            ) from error

    def _prepare(self, fingerprint: str) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        version = int(self.meta("schema_version") or SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            raise StoreError(
                "The crawl's frontier was written by a newer version of so8t.",
                where=str(self._path),
                hint="Update so8t, or remove the run's crawl folder to crawl again.",
            )
        same = self.meta("fingerprint") == fingerprint
        self.resumed = same and self.meta("outcome") != "unreachable"
        if not self.resumed:
            for table in ("meta", "urls", "robots", "hosts", "archives", "tallies"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own words
        self._db.execute("UPDATE urls SET state = 'queued' WHERE state = 'in-flight'")
        self.set_meta("schema_version", str(SCHEMA_VERSION))
        self.set_meta("fingerprint", fingerprint)
        self.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def meta(self, name: str) -> str | None:
        """A note about the crawl as a whole."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Write such a note."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def commit(self) -> None:
        """Make everything since the last commit durable."""
        self._db.executemany(
            "INSERT INTO tallies VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            self._tallies.items(),
        )
        self._tallies.clear()
        self._db.commit()

    # What comes in.

    def add(self, urls: Iterable[tuple[str, Refusal | None]], *, depth: int, hops: int = 0) -> None:
        """Take in canonical URLs: queued, or refused with the reason.

        A URL that is known keeps what became of it; one that still waits, or was out of reach,
        takes the smaller depth.
        """
        self._db.executemany(
            _ADD,
            (
                (url, host_of(url), depth, hops, "queued", None, None, None, None)
                if why is None
                else (url, host_of(url), depth, hops, "refused", *_columns(why))
                for url, why in urls
            ),
        )

    def known(self, url: str) -> bool:
        """Whether the URL was seen before."""
        return bool(self._db.execute("SELECT 1 FROM urls WHERE url = ?", (url,)).fetchone())

    # What goes out.

    def open_wave(self, max_pages: int) -> int | None:
        """The number of the wave to work on; None where the crawl is done."""
        wave = int(self.meta("wave") or 0)
        left = self._db.execute(
            "SELECT 1 FROM urls WHERE state = 'queued' AND wave = ? LIMIT 1", (wave,)
        ).fetchone()
        if left:
            return wave
        kept = self.census.kept()
        first = self._db.execute(
            "SELECT depth FROM urls WHERE state = 'queued' AND wave IS NULL ORDER BY depth LIMIT 1"
        ).fetchone()
        if first is None or kept >= max_pages:
            return None
        self._db.execute(
            "UPDATE urls SET wave = ? WHERE url IN (SELECT url FROM urls WHERE state = 'queued'"
            " AND wave IS NULL AND depth = ? ORDER BY url LIMIT ?)",
            (wave + 1, first[0], max_pages - kept),
        )
        self.set_meta("wave", str(wave + 1))
        return wave + 1

    def hosts(self, wave: int) -> list[str]:
        """The hosts that a wave has queued URLs of."""
        rows = self._db.execute(
            "SELECT DISTINCT host FROM urls WHERE state = 'queued' AND wave = ? ORDER BY host",
            (wave,),
        )
        return [host for (host,) in rows]

    def next(self, wave: int, host: str, now: float) -> Entry | None:
        """The first URL of a host that is due (`now` since the epoch); it stays queued."""
        row = self._db.execute(
            "SELECT url, depth, hops, tries FROM urls WHERE state = 'queued' AND wave = ?"
            " AND host = ? AND not_before <= ? ORDER BY url LIMIT 1",
            (wave, host, now),
        ).fetchone()
        return Entry(*row) if row else None

    def next_due(self, wave: int, host: str) -> float | None:
        """When the next URL of a host is due, since the epoch; None where none is queued."""
        due: float | None = self._db.execute(
            "SELECT min(not_before) FROM urls WHERE state = 'queued' AND wave = ? AND host = ?",
            (wave, host),
        ).fetchone()[0]
        return due

    # What became of it.

    def start(self, entry: Entry) -> None:
        """The URL is being fetched."""
        self._db.execute("UPDATE urls SET state = 'in-flight' WHERE url = ?", (entry.url,))

    def release(self, entry: Entry) -> None:
        """The fetch was given up without a result: the URL is queued as before."""
        self._db.execute("UPDATE urls SET state = 'queued' WHERE url = ?", (entry.url,))

    def retry(self, entry: Entry, not_before: float) -> None:
        """The URL is to be tried again, not earlier than then (since the epoch)."""
        self._db.execute(
            "UPDATE urls SET state = 'queued', tries = tries + 1, not_before = ? WHERE url = ?",
            (not_before, entry.url),
        )
        self.tally("retries")

    def refuse(self, entry: Entry, why: Refusal) -> None:
        """A rule forbids the URL, or its page."""
        self._decide(entry, "refused", why)

    def fail(self, entry: Entry, why: Refusal) -> None:
        """The URL gave nothing, for good."""
        self._decide(entry, "failed", why)

    def redirect(self, entry: Entry, why: Refusal) -> None:
        """The URL led elsewhere; `why.detail` says where."""
        self._decide(entry, "done", why)

    def keep(self, url: str, page: dict[str, Any]) -> None:
        """The URL's page is kept; `page` is its line of the page index."""
        line = json.dumps(page, ensure_ascii=False, sort_keys=True, allow_nan=False)
        self._db.execute(
            "UPDATE urls SET state = 'done', decided_at = ?, page = ? WHERE url = ?",
            (time.time(), line, url),
        )

    def _decide(self, entry: Entry, state: str, why: Refusal) -> None:
        self._db.execute(
            "UPDATE urls SET state = ?, rule = ?, source = ?, detail = ?, decided_at = ?"
            " WHERE url = ?",
            (state, *_columns(why), entry.url),
        )

    # Hosts and their robots.txt.

    def hold(self, hold: Hold) -> None:
        """Remember that a host is to be left alone."""
        self._db.execute(
            "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?)",
            (hold.host, hold.not_before, hold.suspended, hold.why),
        )

    def holds(self) -> list[Hold]:
        """Every host that was to be left alone, whether the time is over or not."""
        rows = self._db.execute("SELECT host, not_before, suspended, why FROM hosts ORDER BY host")
        return [Hold(host, until, bool(suspended), why) for host, until, suspended, why in rows]

    def robots_answer(self, origin: str) -> RobotsAnswer | None:
        row = self._db.execute(
            "SELECT outcome, reason, fetched_at, said FROM robots WHERE origin = ?", (origin,)
        ).fetchone()
        if row is None:
            return None
        said = json.loads(row[3])
        group = Group(
            rules=_rules(said["rules"]),
            ai_rules=tuple((token, _rules(rules)) for token, rules in said["ai_rules"]),
            crawl_delay_s=said["crawl_delay_s"],
            sitemaps=tuple(said["sitemaps"]),
        )
        return RobotsAnswer(origin, row[0], row[1], row[2], group)

    def store_robots(self, answer: RobotsAnswer) -> None:
        said = json.dumps(asdict(answer.group))
        self._db.execute(
            "INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                answer.origin,
                host_of(answer.origin + "/"),
                answer.outcome,
                answer.reason,
                answer.fetched_at,
                answer.group.crawl_delay_s,
                said,
            ),
        )

    def crawl_delay_s(self, host: str) -> float:
        """The longest Crawl-delay that a robots.txt of the host asks for; 0 without one."""
        longest: float = self._db.execute(
            "SELECT coalesce(max(crawl_delay_s), 0.0) FROM robots WHERE host = ?", (host,)
        ).fetchone()[0]
        return longest

    # The archive's files.

    def archives(self) -> dict[str, int]:
        """Committed size in bytes of each WARC file."""
        return dict(self._db.execute("SELECT name, size_bytes FROM archives ORDER BY name"))

    def set_archive(self, name: str, size_bytes: int) -> None:
        """The size of a WARC file that the next commit makes good."""
        self._db.execute("INSERT OR REPLACE INTO archives VALUES (?, ?)", (name, size_bytes))

    # Figures.

    def tally(self, name: str, count: float = 1) -> None:
        """Add to a figure; durable with the next commit."""
        self._tallies[name] += count  # type: ignore[assignment]  # seconds are fractions

    def tallies(self) -> dict[str, float]:
        """All figures that were tallied."""
        stored = Counter(dict(self._db.execute("SELECT name, value FROM tallies")))
        stored.update(self._tallies)
        return dict(sorted(stored.items()))


def _rules(stored: list[list[str]]) -> Rules:
    return tuple((field, pattern) for field, pattern in stored)


def _columns(why: Refusal) -> tuple[str, str, str, float]:
    return why.rule, why.source, why.detail, time.time()

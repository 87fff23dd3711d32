"""What a wave hands out: the next URLs of each host, read ahead a few at a time."""

from __future__ import annotations

import heapq
import json
import sqlite3
from dataclasses import dataclass
from typing import Literal

from so8t_core.crawl.url import host_of

Kind = Literal["page", "sitemap", "feed"]

_READ_AHEAD_URLS = 8_000
_READ_AHEAD_BOUNDS = (4, 64)


@dataclass(frozen=True, slots=True)
class Entry:
    """A URL that is to be fetched. `hops`: redirects that led here; `tries`: earlier tries."""

    url: str
    kind: Kind
    tier: int
    depth: int
    hops: int
    tries: int

    @property
    def host(self) -> str:
        """The host to be polite to."""
        return host_of(self.url)


class _Window:
    """The next URLs of one host: read ahead (the next one last), due later, whether more follow."""

    __slots__ = ("last", "later", "more", "ready")  # there may be a million of them

    def __init__(self) -> None:
        self.ready: list[Entry] = []
        self.later: list[tuple[float, str, Entry]] = []
        self.last = ""
        self.more = True


class Windows:
    """The windows of one wave. Nothing joins a wave once it is open, but retries come back."""

    def __init__(self, db: sqlite3.Connection, wave: int) -> None:
        """`db` sees what is committed; the wave must be."""
        self._db = db
        self._wave = wave
        rows = db.execute(
            "SELECT DISTINCT host FROM urls WHERE state = 'queued' AND wave = ? ORDER BY host",
            (wave,),
        )
        self._windows = {host: _Window() for (host,) in rows}
        low, high = _READ_AHEAD_BOUNDS
        self._read_ahead = max(low, min(high, _READ_AHEAD_URLS // max(1, len(self._windows))))

    def hosts(self) -> list[str]:
        """The hosts that the wave has URLs of."""
        return list(self._windows)

    def next(self, host: str, now: float) -> Entry | None:
        """Take the next URL of a host that is due (`now` since the epoch)."""
        window = self._windows.get(host)
        if window is None:
            return None
        if not window.ready and window.more:
            self._look_ahead(host, window)
        if window.later and window.later[0][0] <= now:
            return heapq.heappop(window.later)[2]
        return window.ready.pop() if window.ready else None

    def next_due(self, host: str) -> float | None:
        """When the next URL of a host is due, since the epoch; None where none is queued."""
        window = self._windows.get(host)
        if window is None:
            return None
        if not window.ready and window.more:
            self._look_ahead(host, window)
        if window.ready:
            return 0.0
        return window.later[0][0] if window.later else None

    def drop(self, host: str) -> int:
        """Hand out no more of a host's URLs; the wave's number."""
        self._windows[host] = _Window()
        self._windows[host].more = False
        return self._wave

    def put_back(self, entry: Entry) -> None:
        """The URL is the next one again."""
        self._windows[entry.host].ready.append(entry)

    def put_later(self, entry: Entry, not_before: float) -> None:
        """The URL comes back, not earlier than then (since the epoch)."""
        heapq.heappush(self._windows[entry.host].later, (not_before, entry.url, entry))

    def _look_ahead(self, host: str, window: _Window) -> None:
        """Read the next URLs of a host, in one step of the database."""
        (rows,) = self._db.execute(
            "SELECT json_group_array(json_array(url, kind, tier, depth, hops, tries, not_before))"
            " FROM (SELECT * FROM urls WHERE state = 'queued' AND wave = ? AND host = ?"
            " AND url > ? ORDER BY url LIMIT ?)",
            (self._wave, host, window.last, self._read_ahead),
        ).fetchone()
        entries = json.loads(rows)
        window.more = len(entries) == self._read_ahead
        for *values, not_before in entries:
            entry = Entry(*values)
            window.last = entry.url
            if not_before:
                heapq.heappush(window.later, (not_before, entry.url, entry))
            else:
                window.ready.append(entry)
        window.ready.reverse()

"""Opening a wave: which waiting URLs are worked on next, within every budget.

A wave holds the waiting URLs of the most trusted tier and the smallest depth, in order of their
URLs and no more than pages are still wanted, and is worked off before the next one opens. What it
finds is merged in a way that doesn't depend on order. So the set of pages is the same whatever the
timing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from so8t_core.crawl.moment import steady_now
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.store import Store
from so8t_core.crawl.traps import family_of

_STEP_URLS = 5_000

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Budgets:
    """Limits on pages: in all, of a tier, of a host, and of a family of URLs (by its setting)."""

    max_pages: int
    tier_max_pages: Callable[[int], int | None]
    host_max_pages: Callable[[str], int | None]
    family_max_urls: Mapping[str, int]


class WaveOpening:
    """The opening of one wave, in steps, so that a crawl of any size stays responsive."""

    def __init__(self, store: Store, budgets: Budgets, kept_of_host: Callable[[str], int]) -> None:
        """`kept_of_host`: pages that are kept of a host so far."""
        self._store = store
        self._db = store.writer
        self._budgets = budgets
        self._kept_of_host = kept_of_host
        self._wave = int(store.meta("wave") or 0)
        self._level: tuple[int, int] | None = None
        self._after = ""
        self._room = 0
        self._admitted = 0
        self._of_host: Counter[str] = Counter()
        self._family = ("", 0, 0)

    @property
    def wave(self) -> int:
        """The number of the wave."""
        return self._wave

    def step(self) -> bool | None:
        """Go on; None while there is more to do, then whether there is a wave.

        Nothing is committed before the last step: a kill leaves the opening undone.
        """
        if self._level is None:
            if self._left_over():
                return True
            if self._take_up():
                return None
            if not self._next_level((0, -1)):
                return False
        assert self._level is not None
        rows = self._waiting() if self._room > self._admitted else []
        if rows:
            self._after = rows[-1][0]
            self._admit(rows)
            return None
        self._store_family()
        if self._admitted:
            self._wave += 1
            self._store.set_meta("wave", str(self._wave))
            self._db.commit()
            return True
        beyond = (self._level[0], 1_000_000_000) if self._room <= 0 else self._level
        if self._next_level(beyond):
            return None
        self._db.commit()
        return False

    def _left_over(self) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM urls WHERE state = 'queued' AND wave = ? LIMIT 1", (self._wave,)
        ).fetchone()
        return found is not None

    def _take_up(self) -> bool:
        """Queue URLs again whose hosts are away no longer; whether there may be more.

        They are committed with the wave: a kill leaves them set aside.
        """
        taken = self._db.execute(
            "UPDATE urls SET state = 'queued', wave = NULL, rule = NULL, source = NULL,"
            " detail = NULL, decided_at = NULL WHERE url IN (SELECT url FROM urls"
            " WHERE state = 'deferred' AND not_before <= ? LIMIT ?)",
            (steady_now(), _STEP_URLS),
        )
        return taken.rowcount == _STEP_URLS

    def _next_level(self, beyond: tuple[int, int]) -> bool:
        """Turn to the next (tier, depth) that has waiting URLs."""
        row = self._db.execute(
            "SELECT tier, depth FROM urls WHERE state = 'queued' AND wave IS NULL"
            " AND (tier, depth) > (?, ?) ORDER BY tier, depth LIMIT 1",
            beyond,
        ).fetchone()
        if row is None:
            return False
        self._level, self._after, self._admitted = (row[0], row[1]), "", 0
        kept = dict(self._db.execute("SELECT name, value FROM tallies WHERE name LIKE 'kept%'"))
        self._room = self._budgets.max_pages - int(kept.get("kept", 0))
        tier_limit = self._budgets.tier_max_pages(row[0])
        if tier_limit is not None:
            self._room = min(self._room, tier_limit - int(kept.get(f"kept.tier.{row[0]}", 0)))
        self._of_host.clear()
        return True

    def _waiting(self) -> list[Row]:
        assert self._level is not None
        return self._db.execute(
            "SELECT url, host, kind FROM urls WHERE state = 'queued' AND wave IS NULL"
            " AND tier = ? AND depth = ? AND url > ? ORDER BY url LIMIT ?",
            (*self._level, self._after, _STEP_URLS),
        ).fetchall()

    def _admit(self, rows: list[Row]) -> None:
        admitted: list[str] = []
        refused: list[list[object]] = []
        for url, host, kind in rows:
            if kind == "page":
                if self._admitted >= self._room:
                    break
                why = self._refuse(url, host)
                if why is not None:
                    refused.append([url, why.rule, why.source, why.detail])
                    continue
                if self._host_is_full(host):
                    continue
                self._of_host[host] += 1
            self._admitted += 1
            admitted.append(url)
        self._db.execute(
            "UPDATE urls SET wave = ? WHERE url IN (SELECT value FROM json_each(?))",
            (self._wave + 1, json.dumps(admitted)),
        )
        self._db.execute(
            "UPDATE urls SET state = 'refused', rule = json_extract(value, '$[1]'),"
            " source = json_extract(value, '$[2]'), detail = json_extract(value, '$[3]'),"
            " decided_at = ? FROM json_each(?) WHERE url = json_extract(value, '$[0]')",
            (time.time(), json.dumps(refused)),
        )

    def _refuse(self, url: str, host: str) -> Refusal | None:
        limit = self._budgets.host_max_pages(host)
        if limit is not None and self._kept_of_host(host) >= limit:
            return Refusal("host-pages", "crawl.host_max_pages", f"{limit} pages of {host}")
        family = family_of(url)
        if family is None:
            return None
        shared, setting = family
        if shared != self._family[0]:
            self._store_family()
            stored = self._db.execute(
                "SELECT admitted FROM families WHERE family = ?", (shared,)
            ).fetchone()
            self._family = (shared, stored[0] if stored else 0, 0)
        _, before, now = self._family
        most = self._budgets.family_max_urls[setting]
        if before + now >= most:
            return Refusal("trap-family", f"crawl.{setting}", f"{most} like {shared}")
        self._family = (shared, before, now + 1)
        return None

    def _store_family(self) -> None:
        shared, before, now = self._family
        if now:
            self._db.execute(
                "INSERT OR REPLACE INTO families VALUES (?, ?)", (shared, before + now)
            )
        self._family = ("", 0, 0)

    def _host_is_full(self, host: str) -> bool:
        """Whether a wave has as many URLs of a host as pages are wanted of it."""
        limit = self._budgets.host_max_pages(host)
        return limit is not None and self._kept_of_host(host) + self._of_host[host] >= limit

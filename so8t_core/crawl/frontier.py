"""The frontier: every URL that was ever seen and what became of it, in SQLite, safe from kills.

Changes gather in memory and become durable in batches (`write`), in a thread if wanted; what is
handed out is read ahead in small windows. A host is asked again only when its last result is
durable, so a kill repeats at most what was in flight.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from so8t_core.crawl.census import Census
from so8t_core.crawl.hosts import HostBook
from so8t_core.crawl.permission import Answer
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.store import Batch, Store
from so8t_core.crawl.url import host_of
from so8t_core.crawl.waves import Budgets, WaveOpening
from so8t_core.crawl.windows import Entry, Kind, Windows

Found = tuple[str, str, int, Refusal | None]
"""A canonical URL, its host, its tier, and why it is not to be fetched."""

_RECENT_URLS = 30_000
_AS_LINE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False).encode
_NEVER = (1_000_000_000, 1_000_000_000)


class Frontier:
    """The store of one crawl. `write` makes everything so far durable, all at once.

    `resumed` is true where the file held a crawl already; what was in flight is queued again.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open or create. Raises `StoreError` for a damaged file or one of a newer version.

        A frontier of other settings (another `fingerprint`) or of a crawl that reached nothing is
        emptied: its pages would not be those that are asked for now.
        """
        self._store = Store(path)
        self._fingerprint = fingerprint
        with self._store.guarded():
            same = self._store.meta("fingerprint") == fingerprint
            self.resumed = same and self._store.meta("outcome") != "unreachable"
            self.census = Census(self._store.reader)
        self._begin()

    def forget(self) -> None:
        """Start afresh; who is to be left alone is remembered all the same."""
        self.resumed = False
        self._begin()

    def _begin(self) -> None:
        with self._store.guarded():
            if not self.resumed:
                self._store.empty()
            self._store.set_meta("fingerprint", self._fingerprint)
            self._store.writer.commit()
            stored = self._store.reader.execute("SELECT host, standing FROM hosts")
            self.hosts = HostBook(dict(stored.fetchall()))
        self._batch = Batch()
        self._writing = Batch()
        self._recent: dict[str, tuple[int, int]] = {}
        self._windows = Windows(self._store.reader, 0)
        self._delays_s: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()

    def guarded(self) -> AbstractContextManager[None]:
        """In it, what cannot be read of the frontier is a `StoreError`."""
        return self._store.guarded()

    def meta(self, name: str) -> str | None:
        """A note about the crawl as a whole."""
        return self._store.meta(name)

    def set_meta(self, name: str, value: str) -> None:
        """Write such a note, durably."""
        with self._store.guarded():
            self._store.set_meta(name, value)
            self._store.writer.commit()

    # Making changes durable.

    def swap(self) -> Batch:
        """Everything since the last call, to be given to `write`; changes go on in a new batch."""
        self._batch.hosts.update(self.hosts.changed())
        self._writing, self._batch = self._batch, Batch()
        return self._writing

    def write(self, batch: Batch) -> None:
        """Make a batch durable. May be called from a thread, one at a time."""
        self._store.write(batch)

    def apply(self) -> None:
        """Write everything so far without making it durable yet."""
        self._store.write(self.swap(), commit=False)

    def commit(self) -> None:
        """Make everything so far durable."""
        self.write(self.swap())

    # What comes in.

    def add(
        self,
        urls: Iterable[Found],
        *,
        depth: int,
        hops: int = 0,
        kind: Kind = "page",
    ) -> None:
        """Take in canonical URLs, each with its tier: queued, or refused with the reason.

        A URL that is known keeps what became of it; one that still waits, or was out of reach,
        takes the smaller depth.
        """
        recent, found, now = self._recent, self._batch.found, time.time()
        if len(recent) > _RECENT_URLS:
            recent.clear()
        for url, host, tier, why in urls:
            known = recent.get(url) if kind == "page" else None
            if known is not None and (why is not None or (known[0] <= depth and known[1] <= hops)):
                continue
            if why is None:
                if kind == "page":
                    recent[url] = (depth, hops)
                found.append([url, host, kind, tier, depth, hops, "queued", *(None,) * 4])
            else:
                recent[url] = _NEVER
                reason = (why.rule, why.source, why.detail, now)
                found.append([url, host, kind, tier, depth, hops, "refused", *reason])

    def known(self, url: str) -> bool:
        """Whether the URL was seen before."""
        if url in self._recent:
            return True
        if self._batch.found:
            self.apply()
        query = "SELECT 1 FROM urls WHERE url = ?"
        return bool(self._store.writer.execute(query, (url,)).fetchone())

    # What goes out.

    async def open_wave(self, budgets: Budgets) -> int | None:
        """The number of the wave to work on; None where the crawl is done.

        Nothing may be in flight, and everything must be durable.
        """
        self.commit()
        with self._store.guarded():
            opening = WaveOpening(self._store, budgets, self.hosts.kept)
            while (opened := await asyncio.to_thread(opening.step)) is None:
                pass
            if not opened:
                return None
            self._windows = Windows(self._store.reader, opening.wave)
        return opening.wave

    def wave_hosts(self) -> list[str]:
        """The hosts that the wave has URLs of."""
        return self._windows.hosts()

    def next(self, host: str, now: float) -> Entry | None:
        """Take the next URL of a host that is due (`now` since the epoch)."""
        return self._windows.next(host, now)

    def next_due(self, host: str) -> float | None:
        """When the next URL of a host is due, since the epoch; None where none is queued."""
        return self._windows.next_due(host)

    def release(self, entry: Entry) -> None:
        """The fetch was given up without a result: the URL is queued as before."""
        self._windows.put_back(entry)

    # What became of it.

    def retry(self, entry: Entry, not_before: float) -> None:
        """The URL is to be tried again, not earlier than then (since the epoch)."""
        again = replace(entry, tries=entry.tries + 1)
        self._batch.retried.append([entry.url, again.tries, not_before])
        self._windows.put_later(again, not_before)
        self.tally("retries")

    def put_off(self, entry: Entry, until: float) -> None:
        """The URL was asked for and its host then wanted to be left alone: a try is used up."""
        self._batch.retried.append([entry.url, entry.tries + 1, until])
        self.tally("retries")

    def end_host(
        self, host: str, state: Literal["failed", "deferred"], why: Refusal, until: float = 0.0
    ) -> None:
        """All URLs of a host that the wave still has fail, or are set aside until then.

        `until` is since the epoch; what was set aside is queued again by the first wave after it.
        """
        wave = self._windows.drop(host)
        reason = (why.rule, why.source, why.detail, time.time())
        self._batch.ended.append([state, until, *reason, wave, host])

    def refuse(self, entry: Entry, why: Refusal) -> None:
        """A rule forbids the URL, or its page."""
        self._decide(entry, "refused", why)

    def fail(self, entry: Entry, why: Refusal) -> None:
        """The URL gave nothing, for good."""
        self._decide(entry, "failed", why)

    def finish(self, entry: Entry, why: Refusal) -> None:
        """The URL is done and is no page; `why` says what it was, such as a redirect."""
        self._decide(entry, "done", why)

    def keep(self, entry: Entry, page: dict[str, Any]) -> None:
        """The URL's page is kept; `page` is its line of the page index."""
        self._batch.pages[entry.url] = _AS_LINE(page)
        self._batch.decided.append([entry.url, "done", None, None, None, time.time()])
        tallies, licence = self._batch.tallies, page["licence"]
        for name in (
            "kept",
            f"kept.tier.{entry.tier}",
            f"kept.licence.{licence['id']}",
            f"kept.decision.{licence['decision']}",
            f"kept.charset.{page['charset']}",
        ):
            tallies[name] += 1
        tallies["kept.undecodable"] += page["undecodable_chars"]
        self.hosts.of(entry.host).keep()

    def _decide(self, entry: Entry, state: str, why: Refusal) -> None:
        self._batch.decided.append(
            [entry.url, state, why.rule, why.source, why.detail, time.time()]
        )

    # What origins permit.

    def stored_answer(self, origin: str) -> Answer | None:
        """The last answer of an origin, durable or not yet."""
        for batch in (self._batch, self._writing):
            if origin in batch.robots:
                return Answer.from_row(batch.robots[origin])
        query = "SELECT * FROM robots WHERE origin = ?"
        with self._store.guarded():
            row = self._store.reader.execute(query, (origin,)).fetchone()
            return None if row is None else Answer.from_row(list(row))

    def store_answer(self, answer: Answer) -> None:
        """Keep an answer, in place of an older one."""
        row = answer.as_row()
        self._batch.robots[answer.origin] = row
        host = host_of(answer.origin + "/")
        self.note_crawl_delay(host, answer.group.crawl_delay_s)

    def note_crawl_delay(self, host: str, delay_s: float) -> None:
        """A robots.txt of the host asks for this; it counts from now on."""
        self._delays_s[host] = max(self.crawl_delay_s(host), delay_s)

    def crawl_delay_s(self, host: str) -> float:
        """The longest Crawl-delay that a robots.txt of the host asks for; 0 without one."""
        if host not in self._delays_s:
            query = "SELECT coalesce(max(crawl_delay_s), 0.0) FROM robots WHERE host = ?"
            self._delays_s[host] = self._store.reader.execute(query, (host,)).fetchone()[0]
        return self._delays_s[host]

    # The archive's files.

    def archives(self) -> dict[str, int]:
        """Committed size in bytes of each WARC file."""
        return dict(
            self._store.reader.execute("SELECT name, size_bytes FROM archives ORDER BY name")
        )

    def set_archive(self, name: str, size_bytes: int) -> None:
        """The size of a WARC file that the next commit makes good."""
        self._batch.archives[name] = size_bytes

    # Figures.

    def tally(self, name: str, count: float = 1) -> None:
        """Add to a figure; durable with the next commit."""
        self._batch.tallies[name] += count  # type: ignore[assignment]  # seconds are fractions

    def tallies(self) -> dict[str, float]:
        """All figures that were tallied and are durable."""
        return dict(
            sorted(Counter(dict(self._store.reader.execute("SELECT * FROM tallies"))).items())
        )

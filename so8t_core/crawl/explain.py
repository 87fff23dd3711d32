"""Why a URL was fetched or not, or would be: every rule in the order in which a crawl asks it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import StoreError
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Fetcher
from so8t_core.crawl.guard import Guard
from so8t_core.crawl.hosts import Standing
from so8t_core.crawl.patience import used_up
from so8t_core.crawl.permission import Answer, Permissions, Quest, advance
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.robots import MAX_ROBOTS_BYTES
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.url import BadUrl, host_of, origin_of


@dataclass(frozen=True)
class Finding:
    """One answer: what was asked, what came out, who says so, and when (ISO 8601, or empty)."""

    question: str
    answer: str
    source: str = ""
    at: str = ""


class Records:
    """A crawl's frontier, read only, while it may be running. Without a file it knows nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._db = (
            sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            if path is not None and path.is_file()
            else None
        )

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()

    def row(self, query: str, value: str) -> tuple[Any, ...] | None:
        """The first row of a query with one value. Raises `StoreError` for a damaged file."""
        if self._db is None:
            return None
        try:
            found: tuple[Any, ...] | None = self._db.execute(query, (value,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise self.damaged(error) from error
        return found

    def damaged(self, error: Exception) -> StoreError:
        """What to tell of a file that cannot be read."""
        return StoreError(
            f"The crawl's frontier cannot be read: {error}.",
            where=str(self._path),
            hint="It may come from another version; crawl again, or leave --run out.",
        )

    def stored_answer(self, origin: str) -> Answer | None:
        """What the owner of an origin said."""
        row = self.row("SELECT * FROM robots WHERE origin = ?", origin)
        return None if row is None else Answer.from_row(list(row))

    def store_answer(self, answer: Answer) -> None:
        """Records are read only."""
        raise AssertionError(answer.origin)


class _Asked:
    """Answers that were fetched just now, before those of a crawl."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._answers: dict[str, Answer] = {}

    def stored_answer(self, origin: str) -> Answer | None:
        return self._answers.get(origin) or self._records.stored_answer(origin)

    def store_answer(self, answer: Answer) -> None:
        self._answers[answer.origin] = answer


def explain(url: str, settings: CrawlSettings, records: Records, *, ask: bool) -> list[Finding]:
    """Everything that decides about a URL; the last finding is the verdict.

    With `ask` the owner's files are fetched now, as a crawl would, with its delay in between.
    Raises `StoreError` where the records are damaged.
    """
    try:
        return _explain(url, settings, records, ask=ask)
    except (ValueError, TypeError) as error:  # text in the file that is no JSON, or another form
        raise records.damaged(error) from error


def _explain(url: str, settings: CrawlSettings, records: Records, *, ask: bool) -> list[Finding]:
    scope = Scope(settings)
    canonical = scope.canonical(url)
    if isinstance(canonical, BadUrl):
        return [
            Finding("canonical form", "none", "URL syntax"),
            Finding("verdict", f"not fetched: {canonical.rule} {canonical.detail}"),
        ]
    findings = [Finding("canonical form", canonical)]
    recorded = _recorded(canonical, records)
    findings += recorded
    refusals = [(_place(canonical, scope, findings), "")]
    asked = _Asked(records)
    origin = origin_of(canonical)
    told: list[Finding] = []
    barred = _host(host_of(canonical), records, told, scope, settings)
    if ask and barred is None and refusals[0][0] is None:
        asked.store_answer(asyncio.run(_ask(origin, settings)))
    permissions = Permissions(asked, settings)
    answer = asked.stored_answer(origin)
    hearing = "" if answer is not None else "robots.txt would be asked first (--ask does so now)"
    if answer is not None:
        findings.append(_owner(answer))
        refusals.append((permissions.refuse(canonical), _moment(answer.fetched_at)))
        if permissions.answer(origin, time.time()) is None:
            limit = f"{settings.robots_max_age_s / 3600:g} h"
            findings.append(Finding("owner's files are stale", f"older than {limit}"))
            hearing = f"robots.txt would be asked again first, since it is older than {limit}"
    findings += told
    refusals.append((barred, ""))
    return [*findings, _verdict(recorded, refusals, hearing)]


def _verdict(
    recorded: list[Finding], refusals: list[tuple[Refusal | None, str]], hearing: str
) -> Finding:
    """`hearing`: that the owner must be asked before anything can be said for sure."""
    if recorded and not recorded[0].answer.startswith("queued"):
        return Finding("verdict", f"was {recorded[0].answer}", recorded[0].source, recorded[0].at)
    for refusal, at in refusals:
        if refusal is not None:
            words = f"would not be fetched: {refusal.rule} {refusal.detail}".strip()
            if at and hearing:
                words = f"{hearing}; as it was, it {words}"
            return Finding("verdict", words, refusal.source, at)
    return Finding("verdict", hearing or "would be fetched")


def _recorded(url: str, records: Records) -> list[Finding]:
    row = records.row(
        "SELECT state, rule, source, detail, decided_at, depth FROM urls WHERE url = ?", url
    )
    if row is None:
        return []
    state, rule, source, detail, decided_at, depth = row
    words = " ".join(filter(None, (state, rule, detail)))
    found = [
        Finding("recorded", words, source or "", _moment(decided_at)),
        Finding("depth", f"{depth} links from a seed"),
    ]
    page = records.row("SELECT line FROM pages WHERE url = ?", url)
    if page is not None:
        line = json.loads(page[0])
        licence = line["licence"]
        found[0] = Finding("recorded", "kept", line["robots"], line["fetched_at"])
        words = f"{licence['id']}, {licence['decision']}"
        found.append(Finding("licence", words, licence["evidence"]))
        found.append(Finding("record", f"{line['warc']} at {line['offset']}"))
    return found


def _place(url: str, scope: Scope, findings: list[Finding]) -> Refusal | None:
    source = scope.source_of(host_of(url))
    if source is not None:
        findings.append(Finding("source", f"{source.name}, tier {source.tier}", source.terms))
    return scope.refuse(url)


def _owner(answer: Answer) -> Finding:
    delay = answer.group.crawl_delay_s
    words = f"{answer.outcome}, {answer.reason}" + (f", Crawl-delay {delay:g} s" if delay else "")
    read = ", ".join(["robots.txt", *(name for name, _ in answer.reserved)])
    return Finding("owner's files", words, f"{answer.origin}: {read}", _moment(answer.fetched_at))


def _host(
    host: str, records: Records, findings: list[Finding], scope: Scope, settings: CrawlSettings
) -> Refusal | None:
    row = records.row("SELECT standing FROM hosts WHERE host = ?", host)
    if row is None:
        return None
    standing = Standing(**json.loads(row[0]))
    words = f"{standing.kept} pages kept, {standing.body_bytes} bytes, {standing.spent_s:.0f} s"
    findings.append(Finding("host", words, standing.why))
    if standing.suspended:
        return Refusal("host-suspended", host, standing.why)
    if standing.away_until > time.time():
        findings.append(Finding("set aside until", _moment(standing.away_until), standing.why))
        return Refusal("retry-after", host, standing.why)
    limit = scope.host_max_pages(host)
    if limit is not None and standing.kept >= limit:
        return Refusal("host-pages", "crawl.host_max_pages", f"{standing.kept} of {limit} kept")
    kept = records.row("SELECT value FROM tallies WHERE name = ?", "kept")
    if kept is not None and kept[0] >= settings.max_pages:
        return Refusal("max-pages", "crawl.max_pages", f"{kept[0]:.0f} pages kept")
    return used_up(standing, settings)


async def _ask(origin: str, settings: CrawlSettings) -> Answer:
    """Fetch the owner's files, politely."""
    async with Fetcher(settings, Guard(settings.resolve, settings.dns_ttl_s)) as fetcher:
        step: Answer | Quest = Quest.start(origin)
        while isinstance(step, Quest):
            await asyncio.sleep(step.wait_s)
            result = await fetcher.get(
                step.url, max_bytes=MAX_ROBOTS_BYTES + 1, wanted=lambda status, _: status < 300
            )
            step = advance(step, result, settings, time.time())
            await asyncio.sleep(settings.delay_s)
        return step


def _moment(moment_s: float | None) -> str:
    return (
        "" if moment_s is None else datetime.fromtimestamp(moment_s, UTC).isoformat("T", "seconds")
    )

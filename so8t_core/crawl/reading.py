"""Reading a fetched page: everything that follows from its bytes and the settings alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.assess import Assessment, assess
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Found
from so8t_core.crawl.index import fetched, page_line
from so8t_core.crawl.records import digest, page_records
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.url import BadUrl, Linker
from so8t_core.crawl.windows import Entry


@dataclass(frozen=True)
class Reading:
    """What a page gave.

    `links` and `feeds`: canonical URLs with host, tier and the reason where they are not to be
    fetched. `ignored`: links that are not even recorded, by rule. `line`: the page's line of the
    index without the place of its record; None where `refusal` says why it is not kept. `records`:
    response, request and metadata records; empty where they were not asked for.
    """

    links: tuple[Found, ...]
    feeds: tuple[Found, ...]
    ignored: dict[str, int]
    licence: tuple[str, str]
    refusal: Refusal | None
    line: dict[str, Any] | None = None
    records: tuple[bytes, ...] = ()


class PageReader:
    """Reads pages under the settings."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._scope = Scope(settings)

    def read(self, entry: Entry, answer: Response, robots: str, *, recorded: bool) -> Reading:
        """Read the page of an answer; `robots`: by what permission it was fetched.

        Where it is `recorded` the WARC records are made too.
        """
        source = self._scope.source_of(entry.host)
        found = assess(entry.url, answer.headers, answer.body, self._settings, source)
        ignored: Counter[str] = Counter()
        links, feeds = self._follow(entry, found, ignored)
        licence = (found.licence.decision, found.licence.id)
        if found.refusal is not None:
            return Reading(links, feeds, dict(ignored), licence, found.refusal)
        sha256 = hashlib.sha256(answer.body).hexdigest()
        line = page_line(entry.url, 200, sha256, answer.media_type, robots, found)
        line["terms"] = source.terms if source is not None else ""
        line["tier"] = entry.tier
        records: tuple[bytes, ...] = ()
        if recorded:
            payload_digest = digest(answer.body)
            records = page_records(answer, payload_digest, _decision(entry, line))
            line |= fetched(answer, payload_digest)
        return Reading(links, feeds, dict(ignored), licence, None, line, records)

    def _follow(
        self, entry: Entry, found: Assessment, ignored: Counter[str]
    ) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
        """A page's links and feeds, each with the reason where it is not to be fetched."""
        page = found.page
        if page.links_left_out:
            ignored["too-many"] += page.links_left_out
        if not found.may_follow:
            ignored["nofollow"] += len(page.links)
            return (), ()
        hrefs = [link.href for link in page.links if not link.nofollow]
        if len(hrefs) < len(page.links):
            ignored["nofollow"] += len(page.links) - len(hrefs)
        linker = self._scope.linker(page.base, found.decoded.charset)
        links = wanted_links(hrefs, linker, entry, self._scope, ignored)
        feeds: tuple[Found, ...] = ()
        if self._settings.feeds and entry.depth < self._scope.max_depth(entry.tier):
            feeds = wanted_listings(page.feeds, linker, self._scope, ignored)
        return links, feeds


def wanted_links(
    hrefs: Iterable[str], linker: Linker, entry: Entry, scope: Scope, ignored: Counter[str]
) -> tuple[Found, ...]:
    """Canonical URLs, each with the reason where it is not to be fetched; `ignored` counts."""
    wanted: dict[str, Found] = {}
    limit = scope.max_depth(entry.tier)
    deep = Refusal("depth", "crawl.max_depth", f"deeper than {limit}")
    too_deep = deep if entry.depth >= limit else None
    for href in hrefs:
        url = linker(href)
        if isinstance(url, BadUrl):
            ignored[url.rule] += 1
        elif url not in wanted:
            host, tier, refusal = scope.place(url)
            wanted[url] = (url, host, tier, refusal or too_deep)
    return tuple(wanted.values())


def wanted_listings(
    hrefs: Iterable[str], linker: Linker, scope: Scope, ignored: Counter[str]
) -> tuple[Found, ...]:
    """The same for sitemaps and feeds."""
    wanted: dict[str, Found] = {}
    for href in hrefs:
        url = linker(href)
        if isinstance(url, BadUrl):
            ignored[url.rule] += 1
        else:
            wanted[url] = (url, *scope.place(url, is_page=False))
    return tuple(wanted.values())


def _decision(entry: Entry, line: dict[str, Any]) -> dict[str, str]:
    """What the metadata record of a kept page says."""
    licence = line["licence"]
    return {
        "payload-sha256": line["sha256"],
        "charset-detected": line["charset"],
        "hopsFromSeed": str(entry.depth),
        "licence": licence["id"],
        "licence-evidence": licence["evidence"],
        "licence-decision": licence["decision"],
        "robots": line["robots"],
        "terms": line["terms"],
        "tier": str(entry.tier),
    }

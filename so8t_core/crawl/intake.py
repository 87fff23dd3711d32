"""Settling answers: pages into the archive, links and redirects into the frontier."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.assess import UNREADABLE, refuse_media, unread
from so8t_core.crawl.earlier import Earlier, EarlierPage
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.index import fetched, placed
from so8t_core.crawl.monitor import Monitor
from so8t_core.crawl.permission import Answer, Permissions
from so8t_core.crawl.reading import PageReader, wanted_links, wanted_listings
from so8t_core.crawl.records import IDENTICAL, NOT_MODIFIED, digest, warc_date
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.sitemap import read_listing
from so8t_core.crawl.url import BadUrl, origin_of
from so8t_core.crawl.warc import Archive
from so8t_core.crawl.windows import Entry

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SITEMAPS_AN_ORIGIN = 50
_SITEMAP_LEVELS = 3
_LISTED_AT_ONCE = 500


class Intake:
    """Decides what becomes of an answer that needs no other try, and writes it down."""

    def __init__(
        self,
        settings: CrawlSettings,
        scope: Scope,
        frontier: Frontier,
        archive: Archive,
        permissions: Permissions,
        monitor: Monitor,
        earlier: Earlier | None,
    ) -> None:
        self._settings = settings
        self._scope = scope
        self._frontier = frontier
        self._archive = archive
        self._permissions = permissions
        self._monitor = monitor
        self._earlier = earlier
        self._reader = PageReader(settings)

    def settle(self, entry: Entry, result: Response) -> None:
        """Keep, refuse, fail or redirect a URL. Runs without waiting, so it happens whole."""
        known = self._unchanged_page(entry, result)
        if result.status in _REDIRECTS:
            self._redirect(entry, result)
        elif result.status == 304 and known is not None:
            self._page(entry, result, known)
        elif result.status != 200:
            self._frontier.fail(entry, Refusal(f"http-{result.status}", "server", result.reason))
        elif refusal := self._refuse_body(result):
            self._frontier.tally("pages_fetched")
            self._frontier.refuse(entry, refusal)
        else:
            self._page(entry, result, known)

    def _unchanged_page(self, entry: Entry, result: Response) -> EarlierPage | None:
        """The earlier page, where the server says that it is the same, or sent the same body."""
        if self._earlier is None or result.status not in (200, 304):
            return None
        known = self._earlier.page(entry.url)
        if known is None or result.status == 304:
            return known
        whole = result.body_state == "whole"
        return known if whole and digest(result.body) == known.line["digest"] else None

    async def settle_listing(self, entry: Entry, result: Response) -> None:
        """Take in what a sitemap or feed names."""
        if result.status in _REDIRECTS:
            self._redirect(entry, result)
            return
        if result.status != 200:
            self._frontier.fail(entry, Refusal(f"http-{result.status}", "server", result.reason))
            return
        limits = (self._settings.max_sitemap_bytes, self._settings.max_sitemap_urls)
        kind: Literal["sitemap", "feed"] = "feed" if entry.kind == "feed" else "sitemap"
        listed = await asyncio.to_thread(read_listing, result.body, kind, limits)
        trouble = listed.trouble
        if result.body_state == "cut":
            trouble = f"cut at crawl.max_sitemap_bytes, {limits[0]} bytes"
        if trouble:
            self._frontier.tally("listings_in_part")
        ignored: Counter[str] = Counter()
        linker = self._scope.linker(entry.url)
        for start in range(0, len(listed.urls), _LISTED_AT_ONCE):
            urls = listed.urls[start : start + _LISTED_AT_ONCE]
            found = wanted_links(urls, linker, entry, self._scope, ignored)
            self._frontier.add(found, depth=entry.depth + 1)
            await asyncio.sleep(0)  # other hosts are not to wait for a long list
        self._tally_ignored(ignored)
        if entry.hops < _SITEMAP_LEVELS:
            self._add_listings(listed.sitemaps, entry.url, entry.depth, entry.hops + 1)
        self._frontier.tally("listed_urls", len(listed.urls))
        self._frontier.tally("listed_left_out", listed.left_out)
        self._frontier.finish(entry, Refusal(entry.kind, "listing", trouble))

    def take_sitemaps(self, answer: Answer) -> None:
        """Queue the sitemaps that an origin's robots.txt names."""
        named = answer.group.sitemaps[:_SITEMAPS_AN_ORIGIN]
        self._add_listings(named, answer.origin + "/", 0, 0)

    def _redirect(self, entry: Entry, result: Response) -> None:
        if not result.location:
            what = "no Location" if result.location is not None else "several Locations"
            self._frontier.fail(entry, Refusal("redirect-malformed", "server", what))
            return
        target = self._scope.linker(entry.url)(result.location)
        if isinstance(target, BadUrl):
            self._frontier.fail(entry, Refusal("redirect-malformed", "server", target.detail))
            return
        host, tier, refusal = self._scope.place(target, is_page=entry.kind == "page")
        if refusal is None and entry.hops >= self._settings.max_redirects:
            refusal = Refusal("redirects", "crawl.max_redirects", f"from {entry.url}")
        self._frontier.finish(entry, Refusal("redirect", f"HTTP {result.status}", target))
        found = [(target, host, tier, refusal)]
        self._frontier.add(found, kind=entry.kind, depth=entry.depth, hops=entry.hops + 1)

    def _refuse_body(self, result: Response) -> Refusal | None:
        refusal = refuse_media(result.media_type, result.body, self._settings)
        if refusal is None and result.body_state == "cut":
            limit = f"more than {self._settings.max_page_bytes} bytes"
            refusal = Refusal("too-large", "crawl.max_page_bytes", limit)
        return refusal

    def _page(self, entry: Entry, result: Response, known: EarlierPage | None) -> None:
        """Read a page, then keep or refuse it."""
        answer = known.answer(result) if known is not None and result.status == 304 else result
        robots = self._permission(entry)
        self._frontier.tally("pages_fetched")
        try:
            read = self._reader.read(entry, answer, robots, recorded=known is None)
        except UNREADABLE as error:
            self._frontier.refuse(entry, unread(error))
            return
        self._frontier.add(read.links, depth=entry.depth + 1)
        self._frontier.add(read.feeds, kind="feed", depth=entry.depth + 1)
        self._tally_ignored(read.ignored)
        self._frontier.tally("licence." + ".".join(read.licence))
        if read.refusal is not None or read.line is None:
            self._frontier.refuse(entry, read.refusal or Refusal("unread", "reader"))
            return
        if known is not None:
            line = self._unchanged(result, known, read.line)
        else:
            line = placed(read.line, self._archive.append(read.records))
        self._frontier.keep(entry, line)
        self._monitor.kept(entry.url, read.line["title"])

    def _unchanged(
        self, result: Response, known: EarlierPage, line: dict[str, Any]
    ) -> dict[str, Any]:
        """The line of a page that is as it was: its earlier record is taken over."""
        self._frontier.tally("pages_unchanged")
        of = (known.line["digest"], known.line["fetched_at"])
        said_so = result.status == 304
        profile = NOT_MODIFIED if said_so else IDENTICAL
        place, revisit = self._archive.append_revisit(result, profile, known.record, of)
        line |= fetched(result, of[0]) | {"fetched_at": of[1]}
        if said_so:
            line |= {name: known.line[name] for name in ("etag", "last_modified")}
        line["revisit"] = {
            "date": warc_date(result.sent_at),
            "offset": revisit.offset,
            "length": revisit.length,
        }
        return placed(line, place)

    def _permission(self, entry: Entry) -> str:
        answer = self._permissions.answer(origin_of(entry.url), time.time())
        return "allowed" if answer is None else f"allowed ({answer.outcome}, {answer.reason})"

    def _tally_ignored(self, ignored: Mapping[str, int]) -> None:
        for rule, count in ignored.items():
            self._frontier.tally(f"links.{rule}", count)

    def _add_listings(self, hrefs: Iterable[str], base: str, depth: int, hops: int) -> None:
        ignored: Counter[str] = Counter()
        found = wanted_listings(hrefs, self._scope.linker(base), self._scope, ignored)
        self._frontier.add(found, kind="sitemap", depth=depth, hops=hops)
        self._tally_ignored(ignored)

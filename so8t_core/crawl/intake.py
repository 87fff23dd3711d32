"""Settling answers: pages into the archive, links and redirects into the frontier."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from typing import Literal

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.assess import Assessment, assess, refuse_media
from so8t_core.crawl.earlier import Earlier, EarlierPage
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Entry, Found, Frontier, Kind
from so8t_core.crawl.index import fetched, page_line, placed
from so8t_core.crawl.monitor import Monitor
from so8t_core.crawl.permission import Answer, Permissions
from so8t_core.crawl.records import NOT_MODIFIED, warc_date
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.sitemap import read_listing
from so8t_core.crawl.url import BadUrl, Linker, origin_of
from so8t_core.crawl.warc import Archive

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SITEMAPS_AN_ORIGIN = 50
_SITEMAP_LEVELS = 3


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

    def settle(self, entry: Entry, result: Response) -> None:
        """Keep, refuse, fail or redirect a URL. Runs without waiting, so it happens whole."""
        known = None
        if result.status == 304 and self._earlier is not None:
            known = self._earlier.page(entry.url)
        if result.status == 200 or known is not None:
            self._frontier.tally("pages_fetched")
        if result.status in _REDIRECTS:
            self._redirect(entry, result)
        elif known is not None:
            self._frontier.tally("pages_unchanged")
            self._page(entry, result, known)
        elif result.status != 200:
            self._frontier.fail(entry, Refusal(f"http-{result.status}", "server", result.reason))
        elif refusal := self._refuse_body(result):
            self._frontier.refuse(entry, refusal)
        else:
            self._page(entry, result, None)

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
        found = self._wanted(listed.urls, self._scope.linker(entry.url), entry)
        self._frontier.add(found, depth=entry.depth + 1)
        if entry.hops < _SITEMAP_LEVELS:
            self._add_listings(listed.sitemaps, entry.url, "sitemap", entry.depth, entry.hops + 1)
        self._frontier.tally("listed_urls", len(listed.urls))
        self._frontier.tally("listed_left_out", listed.left_out)
        self._frontier.finish(entry, Refusal(entry.kind, "listing", listed.trouble))

    def take_sitemaps(self, answer: Answer) -> None:
        """Queue the sitemaps that an origin's robots.txt names."""
        named = answer.group.sitemaps[:_SITEMAPS_AN_ORIGIN]
        self._add_listings(named, answer.origin + "/", "sitemap", 0, 0)

    def _redirect(self, entry: Entry, result: Response) -> None:
        target = self._scope.linker(entry.url)(result.header("Location"))
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
        answer = known.answer(result) if known is not None else result
        source = self._scope.source_of(entry.host)
        found = assess(entry.url, answer.headers, answer.body, self._settings, source)
        self._follow(entry, found)
        self._frontier.tally(f"licence.{found.licence.decision}.{found.licence.id}")
        if found.refusal is not None:
            self._frontier.refuse(entry, found.refusal)
            return
        sha256 = hashlib.sha256(answer.body).hexdigest()
        line = page_line(entry.url, 200, sha256, answer.media_type, self._permission(entry), found)
        line["terms"] = source.terms if source is not None else ""
        line["tier"] = entry.tier
        if known is not None:
            of = (known.line["digest"], known.line["fetched_at"])
            place, revisit = self._archive.append_revisit(result, NOT_MODIFIED, known.record, of)
            line |= {name: known.line[name] for name in ("digest", "fetched_at")}
            line |= {"etag": known.line["etag"], "last_modified": known.line["last_modified"]}
            line["revisit"] = {
                "date": warc_date(result.sent_at),
                "offset": revisit.offset,
                "length": revisit.length,
            }
        else:
            place, digest = self._archive.append(result, _decision(entry, line))
            line |= fetched(result, digest)
        self._frontier.keep(entry, placed(line, place))
        self._monitor.kept(entry.url, found.page.title)

    def _permission(self, entry: Entry) -> str:
        answer = self._permissions.answer(origin_of(entry.url), time.time())
        return "allowed" if answer is None else f"allowed ({answer.outcome}, {answer.reason})"

    def _follow(self, entry: Entry, found: Assessment) -> None:
        """Take in a page's links, each with the reason where it is not to be fetched."""
        page = found.page
        if not found.may_follow:
            self._frontier.tally("links.nofollow", len(page.links))
            return
        hrefs = [link.href for link in page.links if not link.nofollow]
        if len(hrefs) < len(page.links):
            self._frontier.tally("links.nofollow", len(page.links) - len(hrefs))
        linker = self._scope.linker(page.base, found.decoded.charset)
        self._frontier.add(self._wanted(hrefs, linker, entry), depth=entry.depth + 1)
        if self._settings.feeds and page.feeds and entry.depth < self._depth_limit(entry):
            self._add_listings(page.feeds, page.base, "feed", entry.depth + 1, 0)

    def _wanted(self, hrefs: Iterable[str], linker: Linker, entry: Entry) -> Iterable[Found]:
        """Canonical URLs, each with the reason where it is not to be fetched."""
        wanted: dict[str, Found] = {}
        limit = self._depth_limit(entry)
        deep = Refusal("depth", "crawl.max_depth", f"deeper than {limit}")
        too_deep = deep if entry.depth >= limit else None
        for href in hrefs:
            url = linker(href)
            if isinstance(url, BadUrl):
                self._frontier.tally(f"links.{url.rule}")
            elif url not in wanted:
                host, tier, refusal = self._scope.place(url)
                wanted[url] = (url, host, tier, refusal or too_deep)
        return wanted.values()

    def _add_listings(
        self, hrefs: Iterable[str], base: str, kind: Kind, depth: int, hops: int
    ) -> None:
        linker = self._scope.linker(base)
        for href in dict.fromkeys(hrefs):
            url = linker(href)
            if isinstance(url, BadUrl):
                self._frontier.tally(f"links.{url.rule}")
                continue
            found = [(url, *self._scope.place(url, is_page=False))]
            self._frontier.add(found, kind=kind, depth=depth, hops=hops)

    def _depth_limit(self, entry: Entry) -> int:
        return self._scope.max_depth(entry.tier)


def _decision(entry: Entry, line: dict[str, object]) -> dict[str, str]:
    """What the metadata record of a kept page says."""
    licence = line["licence"]
    assert isinstance(licence, dict)
    return {
        "payload-sha256": str(line["sha256"]),
        "charset-detected": str(line["charset"]),
        "hopsFromSeed": str(entry.depth),
        "licence": licence["id"],
        "licence-evidence": licence["evidence"],
        "licence-decision": licence["decision"],
        "robots": str(line["robots"]),
        "terms": str(line["terms"]),
        "tier": str(entry.tier),
    }

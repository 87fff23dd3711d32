"""Settling answers: pages into the archive, links and redirects into the frontier."""

from __future__ import annotations

import hashlib
import time

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.assess import Assessment, assess, refuse_media
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Entry, Frontier
from so8t_core.crawl.index import page_line, placed
from so8t_core.crawl.monitor import Monitor
from so8t_core.crawl.permission import Robots
from so8t_core.crawl.scope import Refusal, Scope
from so8t_core.crawl.url import BadUrl, origin_of
from so8t_core.crawl.warc import Archive

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Intake:
    """Decides what becomes of an answer that needs no other try, and writes it down."""

    def __init__(
        self,
        settings: CrawlSettings,
        scope: Scope,
        frontier: Frontier,
        archive: Archive,
        robots: Robots,
        monitor: Monitor,
    ) -> None:
        self._settings = settings
        self._scope = scope
        self._frontier = frontier
        self._archive = archive
        self._robots = robots
        self._monitor = monitor

    def settle(self, entry: Entry, result: Response) -> None:
        """Keep, refuse, fail or redirect a URL. Runs without waiting, so it happens whole."""
        if result.status == 200:
            self._frontier.tally("pages_fetched")
        if result.status in _REDIRECTS:
            self._redirect(entry, result)
        elif result.status != 200:
            self._frontier.fail(entry, Refusal(f"http-{result.status}", "server", result.reason))
        elif refusal := self._refuse_body(result):
            self._frontier.refuse(entry, refusal)
        else:
            self._page(entry, result)

    def _redirect(self, entry: Entry, result: Response) -> None:
        target = self._scope.canonical(result.header("Location"), base=entry.url)
        if isinstance(target, BadUrl):
            self._frontier.fail(entry, Refusal("redirect-malformed", "server", target.detail))
            return
        refusal = self._scope.refuse(target)
        if refusal is None and entry.hops >= self._settings.max_redirects:
            refusal = Refusal("redirects", "crawl.max_redirects", f"from {entry.url}")
        self._frontier.redirect(entry, Refusal("redirect", f"HTTP {result.status}", target))
        self._frontier.add([(target, refusal)], depth=entry.depth, hops=entry.hops + 1)

    def _refuse_body(self, result: Response) -> Refusal | None:
        refusal = refuse_media(result.media_type, result.body, self._settings)
        if refusal is None and result.body_state == "cut":
            limit = f"more than {self._settings.max_page_bytes} bytes"
            refusal = Refusal("too-large", "crawl.max_page_bytes", limit)
        return refusal

    def _page(self, entry: Entry, result: Response) -> None:
        found = assess(entry.url, result.headers, result.body, self._settings)
        self._follow(entry, found)
        self._frontier.tally(f"licence.{found.licence.decision}.{found.licence.id}")
        if found.refusal is not None:
            self._frontier.refuse(entry, found.refusal)
            return
        digest = hashlib.sha256(result.body).hexdigest()
        line = page_line(entry.url, 200, digest, result.media_type, self._permission(entry), found)
        place = self._archive.append(
            result,
            {
                "payload-sha256": digest,
                "charset-detected": found.decoded.charset,
                "hopsFromSeed": str(entry.depth),
                "licence": found.licence.id,
                "licence-evidence": found.licence.evidence.replace("\n", " "),
                "licence-decision": found.licence.decision,
                "robots": line["robots"],
            },
        )
        self._frontier.keep(entry.url, placed(line, place))
        self._monitor.kept(entry.url, found.page.title)

    def _permission(self, entry: Entry) -> str:
        answer = self._robots.answer(origin_of(entry.url), time.time())
        return "allowed" if answer is None else f"allowed ({answer.outcome}, {answer.reason})"

    def _follow(self, entry: Entry, found: Assessment) -> None:
        """Take in a page's links, each with the reason where it is not to be fetched."""
        if not found.may_follow:
            self._frontier.tally("links.nofollow", len(found.page.links))
            return
        wanted: dict[str, Refusal | None] = {}
        for link in found.page.links:
            if link.nofollow:
                self._frontier.tally("links.nofollow")
                continue
            url = self._scope.canonical(
                link.href, base=found.page.base, query_encoding=found.decoded.charset
            )
            if isinstance(url, BadUrl):
                self._frontier.tally(f"links.{url.rule}")
            elif url not in wanted:
                wanted[url] = self._scope.refuse(url) or self._too_deep(entry)
        self._frontier.add(wanted.items(), depth=entry.depth + 1)

    def _too_deep(self, entry: Entry) -> Refusal | None:
        if entry.depth < self._settings.max_depth:
            return None
        return Refusal("depth", "crawl.max_depth", f"deeper than {self._settings.max_depth}")

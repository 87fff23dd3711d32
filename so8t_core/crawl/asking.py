"""One request of a crawl: what is asked for, how much of it is wanted, what it counts as."""

from __future__ import annotations

import time

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.earlier import Earlier
from so8t_core.crawl.fetcher import Failure, Fetcher, Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.patience import Patience
from so8t_core.crawl.permission import Quest
from so8t_core.crawl.robots import MAX_ROBOTS_BYTES
from so8t_core.crawl.windows import Entry

Job = Entry | Quest


class Asking:
    """Asks servers, and tallies what comes back."""

    def __init__(
        self,
        settings: CrawlSettings,
        frontier: Frontier,
        fetcher: Fetcher,
        patience: Patience,
        earlier: Earlier | None,
    ) -> None:
        self._settings = settings
        self._frontier = frontier
        self._fetcher = fetcher
        self._patience = patience
        self._earlier = earlier
        self._looked_for: set[str] = set()

    def is_unlocated(self, host: str) -> bool:
        """Whether nobody has looked for the address of a host yet."""
        return host not in self._looked_for and self._fetcher.address(host) is None

    async def locate(self, host: str) -> None:
        """Look for the address of a host, once."""
        await self._fetcher.locate(host)
        self._looked_for.add(host)

    async def ask(self, host: str, job: Job) -> Response | Failure:
        """Ask for a page, a listing or an owner's file, once."""
        tally = self._frontier.tally
        tally("requests")
        started = time.monotonic()
        result = await self._sent(job)
        size_bytes = 0
        if isinstance(result, Response):
            size_bytes = len(result.body)
            tally(f"status.{result.status // 100}xx")
            tally("body_bytes", size_bytes)
        else:
            tally(f"network.{result.kind}")
        self._patience.note(host, result, size_bytes, time.monotonic() - started)
        return result

    async def _sent(self, job: Job) -> Response | Failure:
        settings = self._settings
        if isinstance(job, Quest):
            self._frontier.tally("robots_requests")
            return await self._fetcher.get(
                job.url, max_bytes=MAX_ROBOTS_BYTES + 1, wanted=lambda status, _: status < 300
            )
        if job.kind != "page":
            return await self._fetcher.get(
                job.url,
                max_bytes=settings.max_sitemap_bytes,
                wanted=lambda status, _: status == 200,
            )
        known = self._earlier.page(job.url) if self._earlier else None
        return await self._fetcher.get(
            job.url,
            max_bytes=settings.max_page_bytes,
            wanted=lambda status, media: (
                status == 200 and (not media or media in settings.content_types)
            ),
            conditions=known.conditions if known else None,
        )

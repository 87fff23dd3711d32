"""How long each host is left alone, and when it is given up: delays, rests, budgets."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.hosts import Standing
from so8t_core.crawl.moment import steady_now
from so8t_core.crawl.politeness import Lanes, Pace, asked_wait_s, doubled_s, retry_wait_s
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.windows import Entry


class Patience:
    """Keeps what hosts asked for, and what their trouble asks for, in lanes and frontier."""

    def __init__(
        self, settings: CrawlSettings, scope: Scope, frontier: Frontier, lanes: Lanes
    ) -> None:
        self._settings = settings
        self._scope = scope
        self._frontier = frontier
        self._lanes = lanes
        self._pace = Pace(settings)
        self._met: set[str] = set()
        self._away: set[str] = set()

    def remember(self) -> None:
        """Hosts that asked for patience before a kill still get it."""
        now, wall = time.monotonic(), steady_now()
        for host, standing in self._frontier.hosts.met().items():
            if standing.away_until > wall:
                self._away.add(host)
            if standing.not_before > wall:
                self._lanes.hold(host, now + standing.not_before - wall, standing.why)

    def meet(self, host: str, address: str | None, delay_s: float) -> None:
        """A host gets work. After a kill nobody knows when it was asked last: it gets its delay."""
        if address is not None:
            self._lanes.settle_at(host, address)
        if host not in self._met:
            self._met.add(host)
            if self._frontier.resumed:
                self._lanes.hold(host, time.monotonic() + delay_s, "resumed")

    def delay_s(self, host: str, wished_s: float) -> float:
        """The least time between two requests: the longest of what anybody asks for."""
        source = self._scope.source_of(host)
        return max(
            wished_s,
            source.delay_s if source is not None else 0.0,
            self._frontier.crawl_delay_s(host),
            self._pace.delay_s(host),
        )

    def note(self, host: str, result: Response | Failure, size_bytes: int, took_s: float) -> None:
        """A request of any kind has ended: remember what it cost and what its answer asks for.

        A Retry-After binds the host, whatever port and file it came from. Failures in a row, to
        which 429 counts, open the breaker.
        """
        standing = self._frontier.hosts.of(host)
        standing.take(size_bytes, took_s + self.delay_s(host, self._settings.delay_s))
        if isinstance(result, Response):
            self._pace.note(host, result.latency_s)
        self._heed(host, result)
        failed = isinstance(result, Failure) or result.status == 429 or result.status >= 500
        if not failed:
            standing.succeed()
        elif rest := standing.fail(self._settings.breaker_failures):
            why = f"{self._settings.breaker_failures} failures in a row"
            if rest > self._settings.breaker_openings:
                standing.suspend(f"{rest - 1} rests did not help")
            else:
                self.hold(host, doubled_s(self._settings.breaker_rest_s, rest - 1), why)

    def given_up(self, host: str) -> Refusal | None:
        """Why a host is left for this run; None where it is not."""
        standing = self._frontier.hosts.of(host).seen
        return Refusal("host-suspended", host, standing.why) if standing.suspended else None

    def away(self, host: str) -> tuple[Refusal, float] | None:
        """Why a host's URLs are set aside, and until when (since the epoch)."""
        if host not in self._away:
            return None
        standing = self._frontier.hosts.of(host).seen
        if standing.away_until <= steady_now():
            self._away.discard(host)
            return None
        return Refusal("retry-after", host, _away_words(standing)), standing.away_until

    def is_barred(self, host: str) -> bool:
        """Whether a host may not be asked for anything, now or in this run."""
        return self.given_up(host) is not None or self.away(host) is not None

    def all_away(self) -> dict[str, str]:
        """Every host whose URLs are set aside, with the reason."""
        hosts = self._frontier.hosts
        return {host: _away_words(hosts.of(host).seen) for host in sorted(self._away)}

    def refuse(self, host: str) -> Refusal | None:
        """The budget of a host that is used up; None where none is."""
        return used_up(self._frontier.hosts.of(host).seen, self._settings)

    def after(self, entry: Entry, result: Response | Failure) -> float | None:
        """Seconds until a URL is tried again, None for never; a busy host is held as long."""
        wait_s = retry_wait_s(result, entry.tries, self._settings, time.time(), entry.url)
        if isinstance(result, Response) and result.status in (429, 503) and wait_s is not None:
            self.hold(entry.host, wait_s, f"HTTP {result.status}")
        return wait_s

    def _heed(self, host: str, result: Response | Failure) -> None:
        """Leave a host alone for as long as its answer asks."""
        asked_s = asked_wait_s(result, time.time())
        if asked_s is None or isinstance(result, Failure):
            return
        why = f"HTTP {result.status}, Retry-After {asked_s:.0f} s"
        if asked_s > self._settings.max_retry_wait_s:
            self._frontier.hosts.of(host).leave(steady_now() + asked_s, why)
            self._away.add(host)
        else:
            self.hold(host, asked_s, why)

    def hold(self, host: str, wait_s: float, why: str) -> None:
        """Leave a host alone for so long, over a kill too."""
        self._lanes.hold(host, time.monotonic() + wait_s, why)
        self._frontier.hosts.of(host).hold(steady_now() + wait_s, why)


def used_up(taken: Standing, settings: CrawlSettings) -> Refusal | None:
    """The budget of bytes or time that a host has used up; None where none is."""
    for setting, limit, used in (
        ("host_max_bytes", settings.host_max_bytes, taken.body_bytes),
        ("host_max_s", settings.host_max_s, taken.spent_s),
    ):
        if limit is not None and used >= limit:
            return Refusal("host-budget", f"crawl.{setting}", f"{used:.0f} of {limit:.0f}")
    return None


def _away_words(standing: Standing) -> str:
    until = datetime.fromtimestamp(standing.away_until, UTC).isoformat("T", "seconds")
    return f"{standing.why}: set aside until {until}"

"""What a crawl shows while it runs; `Monitor.show` says which figures there are."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.masking import clean_title, mask_url
from so8t_core.phases.base import Emitter

_WINDOW_S = 10.0
_SHOWN_HOSTS = 50
_SHOW_EVERY_S = 0.5
_TELL_EVERY_S = 0.05


class Monitor:
    """Tells the engine about a crawl at most twice a second, and counts its active time."""

    def __init__(self, emit: Emitter, frontier: Frontier, settings: CrawlSettings) -> None:
        self._emit = emit
        self._frontier = frontier
        self._settings = settings
        self._kept_at: deque[float] = deque()
        self._active_since = time.monotonic()
        self._shown_at = 0.0
        self._told_at = 0.0
        self._kept = frontier.census.kept()

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() - self._shown_at >= _SHOW_EVERY_S

    def kept(self, url: str, title: str) -> None:
        """A page was kept; it is told as an item, at most twenty times a second."""
        self._kept += 1
        now = time.monotonic()
        self._kept_at.append(now)
        if now - self._told_at < _TELL_EVERY_S:
            return
        self._told_at = now
        shown = clean_title(mask_url(url))
        self._emit.item("page", title or shown, url=shown)

    def tally_time(self) -> None:
        """Add the time since the last call to the crawl's active time."""
        now = time.monotonic()
        self._frontier.tally("active_s", now - self._active_since)
        self._active_since = now

    def rest(self) -> None:
        """The crawl is quiet: the rate is zero."""
        self._kept_at.clear()
        self._emit.stats({"pages_per_s": 0.0, "hosts": {}})

    def go_on(self) -> None:
        """The crawl goes on after a rest that does not count as active."""
        self._active_since = time.monotonic()

    def show(self, waiting: Mapping[str, str], fetching: Sequence[str]) -> None:
        """Send progress and a snapshot of what is durable; `waiting`, `fetching`: hosts.

        The snapshot: `pages_per_s` (kept, over the last ten seconds), `eta_s` (for the pages that
        are still wanted of those known, at that rate; null where it cannot be told), `requests`,
        `body_bytes`, `retries`, `status` (answers by class), `refusals`, `failures` and
        `deferrals` (by rule), `frontier` (URLs by state), `hosts` (name: what it does, or how long
        and why it waits; the first fifty), `hosts_now`, `network_failures` (by kind).
        """
        now = time.monotonic()
        self._shown_at = now
        while self._kept_at and self._kept_at[0] < now - _WINDOW_S:
            self._kept_at.popleft()
        span_s = min(_WINDOW_S, now - self._kept_at[0]) if self._kept_at else 0.0
        rate = len(self._kept_at) / span_s if span_s else 0.0
        tallies = self._frontier.tallies()
        hosts = dict.fromkeys(fetching, "fetching") | dict(waiting)
        counts = self._frontier.census.counts()
        wanted = min(self._kept + counts["queued"], self._settings.max_pages)
        self._emit.progress(self._kept, max(wanted, self._kept), "pages")
        self._emit.stats(
            {
                "pages_per_s": round(rate, 2),
                "eta_s": round((wanted - self._kept) / rate) if rate else None,
                "requests": int(tallies.get("requests", 0)),
                "body_bytes": int(tallies.get("body_bytes", 0)),
                "retries": int(tallies.get("retries", 0)),
                "status": section(tallies, "status."),
                "network_failures": section(tallies, "network."),
                "refusals": self._frontier.census.rules("refused"),
                "failures": self._frontier.census.rules("failed"),
                "deferrals": self._frontier.census.rules("deferred"),
                "frontier": counts,
                "hosts": dict(list(hosts.items())[:_SHOWN_HOSTS]),
                "hosts_now": len(hosts),
            }
        )


def section(tallies: Mapping[str, float], prefix: str) -> dict[str, int]:
    """The tallies whose names start with a prefix, without it."""
    return {
        name.removeprefix(prefix): int(value)
        for name, value in tallies.items()
        if name.startswith(prefix)
    }

"""When a host may be asked again: delays, Retry-After, backoff, and one request at a time."""

from __future__ import annotations

import heapq
from email.utils import parsedate_to_datetime

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response

RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})


def retry_after_s(value: str, now: float) -> float | None:
    """Seconds that a Retry-After header asks for; None where it is missing or unreadable.

    Both forms: seconds, or an HTTP date (`now` since the epoch). Source: RFC 9110, section 10.2.3.
    """
    text = value.strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - now)


def asked_wait_s(result: Response | Failure, now: float) -> float | None:
    """Seconds for which an answer asks to be left alone; None where it doesn't ask."""
    if isinstance(result, Failure) or result.status not in RETRYABLE_STATUS:
        return None
    return retry_after_s(result.header("Retry-After"), now)


def retry_wait_s(
    result: Response | Failure, tries: int, settings: CrawlSettings, now: float
) -> float | None:
    """Seconds to wait before another try; None where there is to be none.

    Retry-After wins over the backoff, which doubles with each of `tries` earlier tries.
    """
    if tries >= settings.max_retries or (isinstance(result, Failure) and not result.retryable):
        return None
    asked = asked_wait_s(result, now)
    wait_s = settings.retry_base_s * 2.0**tries if asked is None else max(asked, settings.delay_s)
    return wait_s if wait_s <= settings.max_retry_wait_s else None


class Lanes:
    """The hosts with work, in the order in which they may be asked; a host is in it once.

    Times are on the monotonic clock. A host that is being asked is not in the queue: that is what
    keeps it to one request at a time.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[float, str]] = []
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._free_at: dict[str, float] = {}
        self._why: dict[str, str] = {}

    def hold(self, host: str, until: float, why: str) -> None:
        """Leave a host alone until then; an earlier end never shortens a later one."""
        if until >= self._free_at.get(host, 0.0):
            self._free_at[host] = until
            self._why[host] = why

    def enter(self, host: str, not_before: float = 0.0) -> None:
        """Put a host in the queue, for the moment when it is free; a taken one enters later."""
        if host not in self._queued and host not in self._busy:
            self._queued.add(host)
            at = max(not_before, self._free_at.get(host, 0.0))
            heapq.heappush(self._queue, (at, host))

    def take(self, now: float) -> str | None:
        """The host that has been free longest, which is then taken; None where all must wait."""
        while self._queue and self._queue[0][0] <= now:
            _, host = heapq.heappop(self._queue)
            self._queued.discard(host)
            if self._free_at.get(host, 0.0) <= now:
                self._busy.add(host)
                return host
            self.enter(host)
        return None

    def next_at(self) -> float | None:
        """When the first host comes free; None where none is queued."""
        return self._queue[0][0] if self._queue else None

    def leave(self, host: str) -> None:
        """A taken host is asked no more; it may enter again."""
        self._busy.discard(host)

    def waiting(self, now: float) -> dict[str, str]:
        """Each queued host that must wait, with the seconds left and the reason."""
        return {
            host: f"waiting {at - now:.1f} s: {self._why.get(host, 'its turn')}"
            for at, host in sorted(self._queue)
            if at > now
        }

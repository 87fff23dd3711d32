"""When a host may be asked again: delays, Retry-After, backoff, and one request at a time."""

from __future__ import annotations

import heapq
import re
import zlib
from email.utils import parsedate_to_datetime

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response

_SECONDS = re.compile(r"\d+(?:\.\d+)? *s?(?: *, *\d+(?:\.\d+)? *s?)*", re.IGNORECASE)
_NEWEST_SHARE = 0.3
_MOST_DOUBLINGS = 40
_LONGEST_WAIT_S = 10 * 365 * 86_400.0
"""Longer waits than ten years count as ten years: calendars end."""

RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})


def doubled_s(wait_s: float, times: int) -> float:
    """A wait that was doubled so often, but not without end."""
    return min(wait_s * 2.0 ** min(times, _MOST_DOUBLINGS), _LONGEST_WAIT_S)


def retry_after_s(value: str, now: float) -> float | None:
    """Seconds that a Retry-After header asks for; None where it is missing or unreadable.

    Both forms: seconds, or an HTTP date (`now` since the epoch). Of several numbers the greatest
    counts; a unit or a fraction of a second is understood. Source: RFC 9110, section 10.2.3.
    """
    text = value.strip()
    if text.isascii() and _SECONDS.fullmatch(text):
        wishes = (float(part.strip(" s")) for part in text.lower().split(","))
        return min(max(wishes), _LONGEST_WAIT_S)
    moment = _moment(text)
    if moment is None:
        return None
    return min(max(0.0, moment - now), _LONGEST_WAIT_S)


def _moment(text: str) -> float | None:
    """An HTTP date in seconds since the epoch; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def asked_wait_s(result: Response | Failure, now: float) -> float | None:
    """Seconds for which an answer asks to be left alone; None where it doesn't ask.

    Redirects and errors of any kind may: a 403 that carries Retry-After means it. A date is read by
    the clock of the server where it tells the time (Date), else by ours (`now` since the epoch).
    """
    if isinstance(result, Failure) or result.status < 300:
        return None
    return retry_after_s(result.header("Retry-After"), _moment(result.header("Date")) or now)


def retry_wait_s(
    result: Response | Failure, tries: int, settings: CrawlSettings, now: float, url: str
) -> float | None:
    """Seconds to wait before another try; None where there is to be none.

    Retry-After wins over the backoff, which doubles with each of `tries` earlier tries and is up to
    half as long again, so that what failed together does not come back together.
    """
    if tries >= settings.max_retries or (isinstance(result, Failure) and not result.retryable):
        return None
    asked = asked_wait_s(result, now)
    backoff_s = doubled_s(settings.retry_base_s, tries) * (1 + 0.5 * _scatter(url, tries))
    wait_s = backoff_s if asked is None else max(asked, settings.delay_s)
    return wait_s if wait_s <= settings.max_retry_wait_s else None


def _scatter(url: str, tries: int) -> float:
    """A number from 0 to 1 that is the same for the same try in every run."""
    return zlib.crc32(f"{tries} {url}".encode()) / 0xFFFF_FFFF


class Pace:
    """How slow each host is: a moving average of its time to answer, in seconds."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._latency_s: dict[str, float] = {}

    def note(self, host: str, latency_s: float) -> None:
        """A host took so long to answer."""
        known = self._latency_s.get(host, latency_s)
        self._latency_s[host] = known + (latency_s - known) * _NEWEST_SHARE

    def delay_s(self, host: str) -> float:
        """The delay that the host's slowness alone asks for."""
        wished = self._settings.adaptive_delay * self._latency_s.get(host, 0.0)
        return min(wished, self._settings.max_adaptive_delay_s)


class Lanes:
    """The hosts with work, in the order in which they may be asked; a host is in it once.

    Times are on the monotonic clock. A host that is being asked is not in the queue: that is what
    keeps it to one request at a time. Hosts that share an address share its pace too.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[float, str]] = []
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._free_at: dict[str, float] = {}
        self._why: dict[str, str] = {}
        self._address: dict[str, str] = {}
        self._address_free_at: dict[str, float] = {}

    def hold(self, host: str, until: float, why: str) -> None:
        """Leave a host alone until then; an earlier end never shortens a later one."""
        if until >= self._free_at.get(host, 0.0):
            self._free_at[host] = until
            self._why[host] = why

    def settle_at(self, host: str, address: str) -> None:
        """The host is served from this IP address."""
        self._address[host] = address

    def hold_address(self, host: str, until: float) -> None:
        """Leave the address of a host alone until then."""
        address = self._address.get(host)
        if address is not None and until > self._address_free_at.get(address, 0.0):
            self._address_free_at[address] = until

    def enter(self, host: str, not_before: float = 0.0) -> None:
        """Put a host in the queue, for the moment when it is free; a taken one enters later."""
        if host not in self._queued and host not in self._busy:
            self._queued.add(host)
            heapq.heappush(self._queue, (max(not_before, self._free(host)), host))

    def take(self, now: float) -> str | None:
        """The host that has been free longest, which is then taken; None where all must wait."""
        while self._queue and self._queue[0][0] <= now:
            _, host = heapq.heappop(self._queue)
            self._queued.discard(host)
            if self._free(host) <= now:
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
            host: f"waiting {at - now:.1f} s: {self._reason(host)}"
            for at, host in sorted(self._queue)
            if at > now
        }

    def _free(self, host: str) -> float:
        shared = self._address_free_at.get(self._address.get(host, ""), 0.0)
        return max(self._free_at.get(host, 0.0), shared)

    def _reason(self, host: str) -> str:
        shared = self._address_free_at.get(self._address.get(host, ""), 0.0)
        if shared > self._free_at.get(host, 0.0):
            return f"its address {self._address[host]} is shared"
        return self._why.get(host, "its turn")

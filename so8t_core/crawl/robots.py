"""robots.txt after RFC 9309: which rules speak to us, what they forbid, and how they are asked for.

Groups and product tokens are read here, because protego misses tokens with versions, byte order
marks and groups that go on across unknown lines; the matching of paths is protego's.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol
from urllib.parse import quote_from_bytes

from protego import Protego

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.politeness import RETRYABLE_STATUS, retry_wait_s
from so8t_core.crawl.scope import Refusal
from so8t_core.crawl.url import BadUrl, canonicalise, origin_of

MAX_ROBOTS_BYTES = 512_000
MAX_ROBOTS_REDIRECTS = 5

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_FIELDS = {
    **dict.fromkeys(("user-agent", "useragent", "user agent"), "user-agent"),
    **dict.fromkeys(("disallow", "dissallow", "dissalow", "disalow", "diasllow"), "disallow"),
    "disallaw": "disallow",
    "allow": "allow",
    **dict.fromkeys(("crawl-delay", "crawl delay", "crawldelay"), "crawl-delay"),
    **dict.fromkeys(("sitemap", "site-map"), "sitemap"),
}
_LOOSE_LINE = re.compile(r"(user[- ]?agent|diss?all?[oa]w|allow|crawl[- ]?delay)\s+(.*)", re.I)
_ASCII_KEPT = "".join(chr(code) for code in range(0x21, 0x7F))
_PARSED_KEPT = 512


@dataclass(frozen=True)
class Group:
    """What a robots.txt says to us: `rules` as (field, pattern), in the file's order."""

    rules: tuple[tuple[str, str], ...] = ()
    crawl_delay_s: float = 0.0
    sitemaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class RobotsAnswer:
    """The result of asking an origin for its robots.txt.

    `allow-all`: it has none (4xx). `disallow-all`: it could not be had. `reason` says why, and
    `fetched_at` is in seconds since the epoch.
    """

    origin: str
    outcome: Literal["rules", "allow-all", "disallow-all"]
    reason: str
    fetched_at: float
    group: Group = Group()


@dataclass(frozen=True)
class RobotsQuest:
    """The next request on the way to an origin's robots.txt, to be made after `wait_s`."""

    origin: str
    url: str
    hops: int = 0
    tries: int = 0
    wait_s: float = 0.0

    @classmethod
    def start(cls, origin: str) -> RobotsQuest:
        """The first request for an origin."""
        return cls(origin, f"{origin}/robots.txt")


class RobotsStore(Protocol):
    """Where answers survive a kill."""

    def robots_answer(self, origin: str) -> RobotsAnswer | None:
        """The last stored answer of an origin."""

    def store_robots(self, answer: RobotsAnswer) -> None:
        """Keep an answer, in place of an older one."""


def parse(body: bytes, token: str) -> Group:
    """The rules of a robots.txt that apply to a product token (any case).

    At most 500 KiB are read. Groups that name the token are merged; where none does, those of `*`
    are. Only Allow and Disallow end a list of User-agent lines. Source: RFC 9309, section 2.2.
    """
    groups: list[tuple[set[str], list[tuple[str, str]], list[float]]] = []
    sitemaps: list[str] = []
    open_names = False
    for name, value in _lines(body):
        if name == "sitemap":
            sitemaps.append(value)
        elif name == "user-agent":
            if not open_names:
                groups.append((set(), [], []))
            open_names = True
            groups[-1][0].add(_agent(value))
        elif groups and name == "crawl-delay":
            delay = _seconds(value)
            if delay is not None:
                groups[-1][2].append(delay)
        elif name in ("allow", "disallow"):
            open_names = False
            if groups and value:
                groups[-1][1].append((name, value))
    mine = [group for group in groups if token.lower() in group[0]]
    chosen = mine or [group for group in groups if "*" in group[0]]
    return Group(
        rules=tuple(rule for group in chosen for rule in group[1]),
        crawl_delay_s=max((delay for group in chosen for delay in group[2]), default=0.0),
        sitemaps=tuple(sitemaps),
    )


def _lines(body: bytes) -> list[tuple[str, str]]:
    whole = body[:MAX_ROBOTS_BYTES]
    if len(body) > MAX_ROBOTS_BYTES:
        whole = whole[: whole.rfind(b"\n") + 1]
    if whole.startswith((b"\xff\xfe", b"\xfe\xff")):
        whole = whole.decode("utf-16", "replace").encode()
    found = []
    for raw in re.split(rb"[\r\n]+", whole.replace(b"\xef\xbb\xbf", b"").replace(b"\0", b"")):
        line = raw.decode("utf-8", "surrogateescape").partition("#")[0].strip()
        name, colon, value = line.partition(":")
        field = _FIELDS.get(name.strip().lower()) if colon else None
        loose = _LOOSE_LINE.fullmatch(line) if field is None else None
        if loose:
            field, value = _FIELDS.get(loose.group(1).lower()), loose.group(2)
        if field:
            octets = value.strip().encode("utf-8", "surrogateescape")
            found.append((field, quote_from_bytes(octets, safe=_ASCII_KEPT + " ")))
    return found


def _agent(value: str) -> str:
    if value.startswith("*"):
        return "*"
    token = _TOKEN.match(value)
    return token.group().lower() if token else ""


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


class RuleSet:
    """The rules of one group, ready to be asked about URLs."""

    def __init__(self, group: Group) -> None:
        self._rules = group.rules
        self._all = _protego(group.rules)
        plain = tuple(rule for rule in group.rules if not rule[1].endswith("/index.html"))
        self._without_index = self._all if plain == group.rules else _protego(plain)

    def forbidding(self, url: str) -> str | None:
        """The line that forbids a URL, or None where it is allowed.

        protego lets `Allow: /index.html` also allow `/`, which RFC 9309 does not; the stricter
        reading wins.
        """
        matcher = self._without_index if url.endswith("/") else self._all
        if matcher.can_fetch(url, "us"):
            return None
        matching = [
            pattern
            for field, pattern in self._rules
            if field == "disallow" and not _single(pattern).can_fetch(url, "us")
        ]
        return "Disallow: " + max(matching, key=len)


def _protego(rules: tuple[tuple[str, str], ...]) -> Protego:
    lines = "\n".join(f"{field}: {pattern}" for field, pattern in rules)
    return Protego.parse("User-agent: us\n" + lines)


@lru_cache(maxsize=1024)
def _single(pattern: str) -> Protego:
    return _protego((("disallow", pattern),))


class Robots:
    """What the robots.txt of each origin says, as far as it is known and fresh."""

    def __init__(self, store: RobotsStore, settings: CrawlSettings) -> None:
        self._store = store
        self._settings = settings
        self._known: OrderedDict[str, tuple[RobotsAnswer, RuleSet]] = OrderedDict()

    def answer(self, origin: str, now: float) -> RobotsAnswer | None:
        """The answer of an origin; None where it must be asked (again). `now` since the epoch."""
        known = self._load(origin)
        if known is None or not 0 <= now - known[0].fetched_at < self._settings.robots_max_age_s:
            return None
        return known[0]

    def learn(self, answer: RobotsAnswer) -> None:
        """Take in and store a new answer."""
        self._store.store_robots(answer)
        self._known.pop(answer.origin, None)

    def refuse(self, url: str) -> Refusal | None:
        """Why the known robots.txt of its origin forbids this URL; None where it is allowed."""
        origin = origin_of(url)
        known = self._load(origin)
        source = f"{origin}/robots.txt"
        if known is None:
            return Refusal("robots-unasked", source)
        answer, rules = known
        if answer.outcome == "disallow-all":
            return Refusal("robots-unreachable", source, answer.reason)
        longest = self._settings.max_crawl_delay_s
        if answer.group.crawl_delay_s > longest:
            return Refusal("crawl-delay", source, f"{answer.group.crawl_delay_s:g} s")
        line = rules.forbidding(url)
        return Refusal("robots", source, line) if line else None

    def _load(self, origin: str) -> tuple[RobotsAnswer, RuleSet] | None:
        if origin in self._known:
            self._known.move_to_end(origin)
            return self._known[origin]
        answer = self._store.robots_answer(origin)
        if answer is None:
            return None
        self._known[origin] = (answer, RuleSet(answer.group))
        if len(self._known) > _PARSED_KEPT:
            self._known.popitem(last=False)
        return self._known[origin]


def advance(
    quest: RobotsQuest, result: Response | Failure, settings: CrawlSettings, now: float
) -> RobotsAnswer | RobotsQuest:
    """What follows from the result of a quest's request. `now` is in seconds since the epoch.

    Redirects: five are followed, over hosts too, and the rules count for the first origin. Other
    4xx: no rules. 429, 5xx, network failure, endless redirects: tried again, then all is
    forbidden. Source: RFC 9309, section 2.3.1; 429 as an error, as Nutch and StormCrawler do.
    """
    if isinstance(result, Response):
        if 200 <= result.status < 300:
            group = parse(result.body, settings.product_token)
            return RobotsAnswer(quest.origin, "rules", f"HTTP {result.status}", now, group)
        if 300 <= result.status < 400:
            return _redirected(quest, result, now)
        if 400 <= result.status < 500 and result.status not in RETRYABLE_STATUS:
            return RobotsAnswer(quest.origin, "allow-all", f"HTTP {result.status}", now)
        reason = f"HTTP {result.status}"
    else:
        reason = f"{result.kind}: {result.detail}"
    wait_s = retry_wait_s(result, quest.tries, settings, now)
    if wait_s is None:
        return RobotsAnswer(quest.origin, "disallow-all", reason, now)
    return replace(quest, tries=quest.tries + 1, wait_s=wait_s)


def _redirected(quest: RobotsQuest, result: Response, now: float) -> RobotsAnswer | RobotsQuest:
    target = canonicalise(result.header("Location"), base=quest.url)
    if isinstance(target, BadUrl):
        reason = f"redirect to no URL ({target.rule})"
    elif quest.hops >= MAX_ROBOTS_REDIRECTS:
        reason = f"more than {MAX_ROBOTS_REDIRECTS} redirects"
    else:
        return replace(quest, url=target, hops=quest.hops + 1, wait_s=0.0)
    return RobotsAnswer(quest.origin, "disallow-all", reason, now)

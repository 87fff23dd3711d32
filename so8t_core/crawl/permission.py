"""Permission to fetch: asking each origin for its robots.txt, and remembering what it said."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.politeness import RETRYABLE_STATUS, retry_wait_s
from so8t_core.crawl.robots import Group, RuleSet, parse
from so8t_core.crawl.scope import Refusal
from so8t_core.crawl.url import BadUrl, canonicalise, origin_of

MAX_ROBOTS_REDIRECTS = 5

_PARSED_KEPT = 512


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
    group: Group = field(default_factory=Group)


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


@dataclass(frozen=True)
class _Known:
    answer: RobotsAnswer
    own: RuleSet
    ai: tuple[tuple[str, RuleSet], ...]

    @classmethod
    def of(cls, answer: RobotsAnswer) -> _Known:
        tokens = {rules: token for token, rules in reversed(answer.group.ai_rules)}
        ai = tuple((token, RuleSet(rules)) for rules, token in tokens.items())
        return cls(answer, RuleSet(answer.group.rules), ai)


class Robots:
    """What the robots.txt of each origin says, as far as it is known and fresh."""

    def __init__(self, store: RobotsStore, settings: CrawlSettings) -> None:
        self._store = store
        self._settings = settings
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def answer(self, origin: str, now: float) -> RobotsAnswer | None:
        """The answer of an origin; None where it must be asked (again). `now` since the epoch."""
        known = self._load(origin)
        if known is None:
            return None
        age_s = now - known.answer.fetched_at
        return known.answer if 0 <= age_s < self._settings.robots_max_age_s else None

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
        answer = known.answer
        if answer.outcome == "disallow-all":
            return Refusal("robots-unreachable", source, answer.reason)
        if answer.group.crawl_delay_s > self._settings.max_crawl_delay_s:
            return Refusal("crawl-delay", source, f"{answer.group.crawl_delay_s:g} s")
        if line := known.own.forbidding(url):
            return Refusal("robots", source, line)
        for token, rules in known.ai:
            if line := rules.forbidding(url):
                return Refusal("robots-ai", source, f"{token}: {line}")
        return None

    def _load(self, origin: str) -> _Known | None:
        if origin in self._known:
            self._known.move_to_end(origin)
            return self._known[origin]
        answer = self._store.robots_answer(origin)
        if answer is None:
            return None
        self._known[origin] = _Known.of(answer)
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
            group = parse(result.body, settings.product_token, settings.ai_tokens)
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

"""Permission to fetch: asking each origin for its owner's files, and remembering what they said."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.politeness import RETRYABLE_STATUS, retry_wait_s
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.reservations import (
    AI_TXT_PATH,
    TDMREP_PATH,
    is_meant_as_json,
    read_ai_txt,
    read_tdmrep,
)
from so8t_core.crawl.robots import Group, Rules, RuleSet, parse
from so8t_core.crawl.url import BadUrl, canonicalise, host_of, origin_of

MAX_ROBOTS_REDIRECTS = 5

_PARSED_KEPT = 512
_RULES_KEPT = 200_000
_MAX_WILDCARDS = 20_000
"""Wildcards of an owner's files in all; more would hold up all hosts at each URL."""

File = Literal["robots.txt", "tdmrep.json", "ai.txt"]
_PATHS: dict[File, str] = {
    "robots.txt": "/robots.txt",
    "tdmrep.json": TDMREP_PATH,
    "ai.txt": AI_TXT_PATH,
}
_NEXT: dict[File, File | None] = {
    "robots.txt": "tdmrep.json",
    "tdmrep.json": "ai.txt",
    "ai.txt": None,
}


@dataclass(frozen=True)
class Answer:
    """What an origin's owner says in files: robots.txt, and reservations against training.

    `outcome` is robots.txt's. `allow-all`: there is none (4xx). `disallow-all`: it could not be
    had. `reason` says why, and `fetched_at` is in seconds since the epoch. `reserved`: rules of
    tdmrep.json and ai.txt; `unheard`: which of those two could not be had, and why.
    """

    origin: str
    outcome: Literal["rules", "allow-all", "disallow-all"]
    reason: str
    fetched_at: float
    group: Group = field(default_factory=Group)
    reserved: tuple[tuple[File, Rules], ...] = ()
    unheard: tuple[tuple[File, str], ...] = ()

    def as_row(self) -> list[Any]:
        """The answer as it is stored."""
        said = {
            "group": asdict(self.group),
            "reserved": self.reserved,
            "unheard": self.unheard,
        }
        host = host_of(self.origin + "/")
        return [
            *(self.origin, host, self.outcome, self.reason, self.fetched_at),
            *(self.group.crawl_delay_s, json.dumps(said)),
        ]

    @classmethod
    def from_row(cls, row: list[Any]) -> Answer:
        """The answer that `as_row` gave."""
        origin, _, outcome, reason, fetched_at, _, text = row
        said = json.loads(text)
        group = said["group"]
        return cls(
            origin,
            outcome,
            reason,
            fetched_at,
            Group(
                rules=_rules(group["rules"]),
                ai_rules=tuple((token, _rules(rules)) for token, rules in group["ai_rules"]),
                usage=_rules(group["usage"]),
                crawl_delay_s=group["crawl_delay_s"],
                sitemaps=tuple(group["sitemaps"]),
            ),
            tuple((name, _rules(rules)) for name, rules in said["reserved"]),
            tuple((name, why) for name, why in said["unheard"]),
        )


@lru_cache(maxsize=4)
def rule_set(rules: Rules) -> RuleSet:
    """The rules ready to be asked; the last ones are kept, since a quest asks them again."""
    return RuleSet(rules)


def _rules(stored: list[list[str]]) -> Rules:
    return tuple((name, pattern) for name, pattern in stored)


@dataclass(frozen=True)
class Quest:
    """The next request on the way to what an origin permits, to be made after `wait_s`."""

    origin: str
    url: str
    file: File = "robots.txt"
    hops: int = 0
    tries: int = 0
    wait_s: float = 0.0
    so_far: Answer | None = None

    @classmethod
    def start(cls, origin: str) -> Quest:
        """The first request for an origin."""
        return cls(origin, f"{origin}/robots.txt")


class AnswerStore(Protocol):
    """Where answers survive a kill."""

    def stored_answer(self, origin: str) -> Answer | None:
        """The last stored answer of an origin."""

    def store_answer(self, answer: Answer) -> None:
        """Keep an answer, in place of an older one."""


@dataclass(frozen=True)
class _Known:
    answer: Answer
    own: RuleSet
    rules: int
    wildcards: int
    others: tuple[tuple[str, str, str, RuleSet], ...]
    """Rule, source, prefix of the words, rules: what is asked after our own rules."""

    @classmethod
    def of(cls, answer: Answer) -> _Known:
        robots = f"{answer.origin}/robots.txt"
        tokens = {rules: token for token, rules in reversed(answer.group.ai_rules)}
        others = [("robots-ai", robots, f"{token}: ", rules) for rules, token in tokens.items()]
        if answer.group.usage:
            others.append(("content-usage", robots, "", answer.group.usage))
        for name, rules in answer.reserved:
            rule = "tdm-reservation" if name == "tdmrep.json" else "ai-txt"
            others.append((rule, answer.origin + _PATHS[name], "", rules))
        own = rule_set(answer.group.rules)
        made = tuple(
            (rule, source, words, rule_set(rules)) for rule, source, words, rules in others
        )
        return cls(
            answer,
            own,
            len(answer.group.rules) + sum(len(rules) for *_, rules in others),
            own.wildcards + sum(rules.wildcards for *_, rules in made),
            made,
        )


class Permissions:
    """What the owners of origins permit, as far as it is known and fresh."""

    def __init__(self, store: AnswerStore, settings: CrawlSettings) -> None:
        self._store = store
        self._settings = settings
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._rules = 0

    def answer(self, origin: str, now: float) -> Answer | None:
        """The answer of an origin; None where it must be asked (again). `now` since the epoch."""
        known = self._load(origin)
        if known is None:
            return None
        age_s = now - known.answer.fetched_at
        return known.answer if 0 <= age_s < self._settings.robots_max_age_s else None

    def learn(self, answer: Answer) -> None:
        """Take in and store a new answer."""
        self._store.store_answer(answer)
        if known := self._known.pop(answer.origin, None):
            self._rules -= known.rules

    def miss(self, quest: Quest, reason: str) -> None:
        """The file that a quest is after cannot be had."""
        step: Answer | Quest = quest
        while isinstance(step, Quest):
            step = _unheard(step, reason, self._settings, time.time())
        self.learn(step)

    def refuse(self, url: str) -> Refusal | None:
        """Why the known files of its origin forbid this URL; None where it is allowed."""
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
        if known.wildcards > _MAX_WILDCARDS:
            return Refusal("robots-too-costly", source, f"{known.wildcards} wildcards")
        if line := known.own.forbidding(url):
            return Refusal("robots", source, line)
        for rule, place, words, rules in known.others:
            if line := rules.forbidding(url):
                return Refusal(rule, place, words + line)
        for name, why in answer.unheard:
            return Refusal("reservation-unheard", origin + _PATHS[name], why)
        return None

    def _load(self, origin: str) -> _Known | None:
        if origin in self._known:
            self._known.move_to_end(origin)
            return self._known[origin]
        answer = self._store.stored_answer(origin)
        if answer is None:
            return None
        known = self._known[origin] = _Known.of(answer)
        self._rules += known.rules
        while len(self._known) > 1 and (
            len(self._known) > _PARSED_KEPT or self._rules > _RULES_KEPT
        ):
            self._rules -= self._known.popitem(last=False)[1].rules
        return known


def advance(
    quest: Quest, result: Response | Failure, settings: CrawlSettings, now: float
) -> Answer | Quest:
    """What follows from the result of a quest's request. `now` is in seconds since the epoch.

    Redirects: five are followed, over hosts too, and the rules count for the first origin. Other
    4xx: no rules. 429, 5xx, network failure, endless redirects: tried again, then all is
    forbidden; for the files on training too, since the owner may have reserved the site there.
    Source: RFC 9309, section 2.3.1; 429 as an error, as Nutch and StormCrawler do.
    """
    if isinstance(result, Response):
        if 200 <= result.status < 300:
            return _heard(quest, result, settings, now)
        if 300 <= result.status < 400:
            return _redirected(quest, result, settings, now)
        if 400 <= result.status < 500 and result.status not in RETRYABLE_STATUS:
            return _absent(quest, f"HTTP {result.status}", settings, now)
        reason = f"HTTP {result.status}"
    else:
        reason = f"{result.kind}: {result.detail}"
    wait_s = retry_wait_s(result, quest.tries, settings, now, quest.url)
    if wait_s is None:
        return _unheard(quest, reason, settings, now)
    return replace(quest, tries=quest.tries + 1, wait_s=wait_s)


def _heard(quest: Quest, result: Response, settings: CrawlSettings, now: float) -> Answer | Quest:
    token, ai_tokens = settings.product_token, settings.ai_tokens
    if quest.so_far is None:
        group = parse(result.body, token, ai_tokens)
        reason = f"HTTP {result.status}"
        return _on(quest, Answer(quest.origin, "rules", reason, now, group), settings)
    if quest.file == "tdmrep.json":
        found = read_tdmrep(result.body)
        if found is None and is_meant_as_json(result.body, result.media_type):
            return _unheard(quest, "it cannot be read", settings, now)
        rules = found or ()
    else:
        rules = read_ai_txt(result.body, token, ai_tokens)
    more = ((quest.file, rules),) if rules else ()
    return _on(quest, replace(quest.so_far, reserved=(*quest.so_far.reserved, *more)), settings)


def _absent(quest: Quest, reason: str, settings: CrawlSettings, now: float) -> Answer | Quest:
    if quest.so_far is None:
        return _on(quest, Answer(quest.origin, "allow-all", reason, now), settings)
    return _on(quest, quest.so_far, settings)


def _unheard(quest: Quest, reason: str, settings: CrawlSettings, now: float) -> Answer | Quest:
    if quest.so_far is None:
        return Answer(quest.origin, "disallow-all", reason, now)
    unheard = (*quest.so_far.unheard, (quest.file, reason))
    return _on(quest, replace(quest.so_far, unheard=unheard), settings)


def _on(quest: Quest, so_far: Answer, settings: CrawlSettings) -> Answer | Quest:
    """The next file to ask for, where robots.txt lets us; else the whole answer."""
    name = _NEXT[quest.file]
    own = rule_set(so_far.group.rules)
    patient = so_far.group.crawl_delay_s <= settings.max_crawl_delay_s
    while name is not None and patient:
        url = so_far.origin + _PATHS[name]
        if own.forbidding(url) is None:
            return Quest(so_far.origin, url, name, so_far=so_far)
        name = _NEXT[name]
    return so_far


def _redirected(
    quest: Quest, result: Response, settings: CrawlSettings, now: float
) -> Answer | Quest:
    place = result.location
    target = BadUrl("several", "") if place is None else canonicalise(place, base=quest.url)
    if isinstance(target, BadUrl):
        reason = f"redirect to no URL ({target.rule})"
    elif quest.hops >= MAX_ROBOTS_REDIRECTS:
        reason = f"more than {MAX_ROBOTS_REDIRECTS} redirects"
    elif quest.so_far is not None and host_of(target) != host_of(quest.url):
        reason = "redirect to another host"
    else:
        return replace(quest, url=target, hops=quest.hops + 1, wait_s=0.0)
    if quest.so_far is None:
        return _unheard(quest, reason, settings, now)
    return _absent(quest, reason, settings, now)

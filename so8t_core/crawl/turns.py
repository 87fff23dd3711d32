"""Whose turn it is: which hosts have something to be asked now, and what each is asked next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from so8t_core.crawl.asking import Job
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.moment import steady_now
from so8t_core.crawl.patience import Patience
from so8t_core.crawl.permission import Permissions, Quest
from so8t_core.crawl.politeness import Lanes
from so8t_core.crawl.url import host_of, origin_of
from so8t_core.crawl.windows import Entry

_REFUSALS_A_TURN = 200
_TURN_S = 0.01
_HOSTS_A_STEP = 64
_STEP_S = 0.02


class Turns:
    """The hosts of a wave, each queued only while there is something to ask it.

    A URL that a rule forbids is settled as soon as it is its host's next one, not when the host may
    be asked again: so a wave ends with its last answer, and no host waits for another's delay.
    """

    def __init__(
        self,
        frontier: Frontier,
        permissions: Permissions,
        patience: Patience,
        lanes: Lanes,
        address_of: Callable[[str], str | None],
        delay_s: Callable[[str], float],
    ) -> None:
        """`address_of`: where a host was last found; `delay_s`: its least time between requests."""
        self._frontier = frontier
        self._permissions = permissions
        self._patience = patience
        self._lanes = lanes
        self._address_of = address_of
        self._delay_s = delay_s
        self._quests: dict[str, deque[Quest]] = {}
        self._asked: set[str] = set()
        self._coming: deque[str] = deque()
        self._spent: set[str] = set()

    def open(self, hosts: Iterable[str]) -> None:
        """A wave has URLs of these hosts."""
        self._coming.extend(hosts)

    @property
    def gathering(self) -> bool:
        """Whether hosts of the wave have not been looked at yet."""
        return bool(self._coming)

    def gather(self) -> None:
        """Look at some more of the wave's hosts; a few at a time, since each reads its URLs."""
        began = time.monotonic()
        for _ in range(min(_HOSTS_A_STEP, len(self._coming))):
            self.queue(self._coming.popleft())
            if time.monotonic() - began > _STEP_S:
                return

    def queue(self, host: str) -> None:
        """Put a host in the queue where it has something to be asked, for when it is free."""
        now = steady_now()
        if self._end_barred(host):
            return
        if not self._quests.get(host):
            entry = self._next_entry(host, now)
            if entry is not None:
                self._frontier.release(entry)
            else:
                self._queue_later(host, now)
                return
        self._enter(host)

    def end(self, host: str) -> None:
        """A host's turn is over, and its result durable: it may be asked again after its delay."""
        self._lanes.leave(host)
        self.queue(host)

    def next(self, host: str) -> Job | None:
        """What to ask this taken host; where there is nothing now, its lane is left."""
        if self._end_barred(host):
            self._lanes.leave(host)
            return None
        if self._quests.get(host):
            return self._quests[host].popleft()
        now = steady_now()
        entry = self._next_entry(host, now)
        if entry is None:
            self._lanes.leave(host)
            self._queue_later(host, now)
            return None
        origin = origin_of(entry.url)
        if self._is_heard(entry):
            return entry
        self._frontier.release(entry)
        if origin in self._asked:
            self._lanes.leave(host)
            return None
        self._asked.add(origin)
        return Quest.start(origin)

    def go_on(self, quest: Quest) -> None:
        """An owner's files are to be asked further."""
        host = host_of(quest.url)
        self._quests.setdefault(host, deque()).append(quest)
        self._enter(host)

    def answered(self, origin: str) -> None:
        """What an origin permits is known, or not asked for now: its host waits no longer."""
        self._asked.discard(origin)
        self._enter(host_of(origin + "/"))

    def give_up(self, job: Job) -> None:
        """The request was broken off: its place in the queue is as before."""
        if isinstance(job, Entry):
            self._frontier.release(job)
        else:
            self.answered(job.origin)

    def _end_barred(self, host: str) -> bool:
        """Whether a host may not be asked for anything; its URLs then fail or are set aside.

        An origin whose robots.txt lies with such a host is not heard, which forbids it.
        """
        given_up, away = self._patience.given_up(host), self._patience.away(host)
        if given_up is not None:
            self._frontier.end_host(host, "failed", given_up)
        elif away is not None:
            self._frontier.end_host(host, "deferred", *away)
        else:
            return False
        for quest in self._quests.pop(host, ()):
            self._asked.discard(quest.origin)
            if host_of(quest.origin + "/") != host:
                self._permissions.miss(quest, f"{host} is not to be asked")
                self.answered(quest.origin)
        return True

    def _next_entry(self, host: str, now: float) -> Entry | None:
        """Take a host's next URL that nothing known forbids; those before it are settled.

        After many of them, or some time, the host is looked at again in a later step.
        """
        began = time.monotonic()
        for _ in range(_REFUSALS_A_TURN):
            if time.monotonic() - began > _TURN_S:
                break
            entry = self._frontier.next(host, now)
            if entry is None or not self._is_heard(entry):
                return entry
            if refusal := self._patience.refuse(host) or self._permissions.refuse(entry.url):
                self._frontier.refuse(entry, refusal)
            else:
                return entry
        self._spent.add(host)
        return None

    def _is_heard(self, entry: Entry) -> bool:
        """Whether a URL's owner has said what is permitted, and not too long ago."""
        return self._permissions.answer(origin_of(entry.url), time.time()) is not None

    def _queue_later(self, host: str, now: float) -> None:
        """Where a host has nothing to be asked now: look again when a URL is due."""
        if host in self._spent:
            self._spent.discard(host)
            self._coming.append(host)
            return
        due = self._frontier.next_due(host)
        if due is not None:
            self._enter(host, time.monotonic() + max(0.0, due - now))

    def _enter(self, host: str, not_before: float = 0.0) -> None:
        self._patience.meet(host, self._address_of(host), self._delay_s(host))
        self._lanes.enter(host, not_before)

"""The crawl loop: hands out one request at a time per host and settles what comes back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Fetcher, Response
from so8t_core.crawl.frontier import Entry, Frontier, Hold
from so8t_core.crawl.intake import Intake
from so8t_core.crawl.monitor import Monitor
from so8t_core.crawl.permission import Robots, RobotsAnswer, RobotsQuest, advance
from so8t_core.crawl.politeness import RETRYABLE_STATUS, Lanes, asked_wait_s, retry_wait_s
from so8t_core.crawl.robots import MAX_ROBOTS_BYTES
from so8t_core.crawl.scope import Refusal, Scope
from so8t_core.crawl.url import BadUrl, host_of, origin_of
from so8t_core.crawl.warc import Archive
from so8t_core.phases.base import PhaseContext

_POLL_S = 0.1
_COMMIT_EVERY_S = 0.2
_QUIET_AFTER_S = 1.8
_REFUSALS_A_TURN = 200

Job = Entry | RobotsQuest


class Crawler:
    """One crawl on a frontier and an archive.

    A host has one request at a time; each request, those for robots.txt and each hop of a redirect
    among them, waits for the host's delay. Results are settled without waiting in between, so a
    cancelled request has left no trace but its place in the queue.
    """

    def __init__(
        self,
        ctx: PhaseContext,
        settings: CrawlSettings,
        scope: Scope,
        frontier: Frontier,
        archive: Archive,
        fetcher: Fetcher,
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._scope = scope
        self._frontier = frontier
        self._archive = archive
        self._fetcher = fetcher
        self._robots = Robots(frontier, settings)
        self._monitor = Monitor(ctx.emit, frontier, settings)
        self._intake = Intake(settings, scope, frontier, archive, self._robots, self._monitor)
        self._lanes = Lanes()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._quests: dict[str, deque[RobotsQuest]] = {}
        self._asked: set[str] = set()
        self._met: set[str] = set()
        self._suspended: dict[str, str] = {}
        self._wave = 0
        self._woken = asyncio.Event()
        self._committed_at = time.monotonic()

    async def run(self) -> None:
        """Crawl until nothing is left to do. `HardPause` leaves everything committed."""
        self._remember_holds()
        self._frontier.add(self._seeds(), depth=0)
        try:
            while (wave := self._frontier.open_wave(self._settings.max_pages)) is not None:
                self._wave = wave
                await self._crawl_wave()
        finally:
            await self._cancel_all()
        self._commit()
        self._monitor.show(self._lanes.waiting(time.monotonic()), ())

    def _seeds(self) -> Iterator[tuple[str, Refusal | None]]:
        for seed in self._settings.seeds:
            url = self._scope.canonical(seed)
            if isinstance(url, BadUrl):
                self._ctx.emit.log("warning", f"Seed {seed!r} is no URL: {url.rule} {url.detail}")
                self._frontier.tally(f"links.{url.rule}")
            else:
                yield url, self._scope.refuse(url)

    def _remember_holds(self) -> None:
        """Hosts that asked for patience before a kill still get it."""
        now, wall = time.monotonic(), time.time()
        for hold in self._frontier.holds():
            self._lanes.hold(hold.host, now + hold.not_before - wall, hold.why)
            if hold.suspended:
                self._suspended[hold.host] = hold.why

    async def _crawl_wave(self) -> None:
        for host in self._frontier.hosts(self._wave):
            self._enter(host)
        while True:
            self._reap()
            if self._ctx.pause.requested:
                await self._rest()
            self._hand_out()
            if not self._tasks and self._lanes.next_at() is None:
                return
            await self._wait()
            if time.monotonic() - self._committed_at >= _COMMIT_EVERY_S:
                self._commit()
                self._monitor.show(
                    self._lanes.waiting(time.monotonic()), tuple(self._tasks.values())
                )

    # Handing out.

    def _hand_out(self) -> None:
        limit = int(self._live("max_concurrency", self._settings.max_concurrency))
        while len(self._tasks) < max(1, limit):
            host = self._lanes.take(time.monotonic())
            if host is None:
                return
            job = self._next_job(host)
            if job is None:
                continue
            if isinstance(job, Entry):
                self._frontier.start(job)
            task = asyncio.create_task(self._do(host, job))
            self._tasks[task] = host
            task.add_done_callback(lambda _: self._woken.set())

    def _next_job(self, host: str) -> Job | None:
        """What to ask this free host; where there is nothing now, its lane is left."""
        if self._quests.get(host):
            return self._quests[host].popleft()
        for _ in range(_REFUSALS_A_TURN):
            entry = self._frontier.next(self._wave, host, time.time())
            if entry is None:
                break
            origin = origin_of(entry.url)
            if self._robots.answer(origin, time.time()) is None:
                if origin in self._asked:
                    self._lanes.leave(host)
                    return None
                self._asked.add(origin)
                return RobotsQuest.start(origin)
            if host in self._suspended:
                why = Refusal("host-suspended", host, self._suspended[host])
                self._frontier.fail(entry, why)
            elif refusal := self._robots.refuse(entry.url):
                self._frontier.refuse(entry, refusal)
            else:
                return entry
        self._lanes.leave(host)
        due = self._frontier.next_due(self._wave, host)
        if due is not None:
            self._enter(host, time.monotonic() + max(0.0, due - time.time()))
        return None

    def _enter(self, host: str, not_before: float = 0.0) -> None:
        """Queue a host. After a kill nobody knows when it was asked last: it gets its delay."""
        if host not in self._met:
            self._met.add(host)
            if self._frontier.resumed:
                self._lanes.hold(host, time.monotonic() + self._delay_s(host), "resumed")
        self._lanes.enter(host, not_before)

    # Asking.

    async def _do(self, host: str, job: Job) -> None:
        """One request, and what follows from it."""
        result: Response | Failure | None = None
        try:
            result = await self._ask(job)
            if isinstance(job, Entry):
                self._settle_page(job, result)
            else:
                self._settle_robots(job, result)
        finally:
            if result is None:
                self._give_up(job)
            answered = result.answered_at if isinstance(result, Response) else time.monotonic()
            self._lanes.hold(host, answered + self._delay_s(host), "delay")
            self._lanes.leave(host)
            self._enter(host)

    async def _ask(self, job: Job) -> Response | Failure:
        settings = self._settings
        self._frontier.tally("requests")
        if isinstance(job, RobotsQuest):
            self._frontier.tally("robots_requests")
            result = await self._fetcher.get(
                job.url, max_bytes=MAX_ROBOTS_BYTES + 1, wanted=lambda status, _: status < 300
            )
        else:
            result = await self._fetcher.get(
                job.url,
                max_bytes=settings.max_page_bytes,
                wanted=lambda status, media: (
                    status == 200 and (not media or media in settings.content_types)
                ),
            )
        if isinstance(result, Response):
            self._frontier.tally(f"status.{result.status // 100}xx")
            self._frontier.tally("body_bytes", len(result.body))
        else:
            self._frontier.tally(f"network.{result.kind}")
        return result

    def _give_up(self, job: Job) -> None:
        if isinstance(job, Entry):
            self._frontier.release(job)
        else:
            self._asked.discard(job.origin)
            self._enter(host_of(job.origin + "/"))

    def _delay_s(self, host: str) -> float:
        """The least time between two requests to a host, robots.txt's wish above all."""
        wished = self._live("delay_s", self._settings.delay_s)
        return max(wished, self._frontier.crawl_delay_s(host))

    def _live(self, name: str, configured: float) -> float:
        value = self._ctx.live().get(f"crawl.{name}", configured)
        return float(value) if float(value) >= 0 else configured

    # Settling.

    def _settle_robots(self, quest: RobotsQuest, result: Response | Failure) -> None:
        step = advance(quest, result, self._settings, time.time())
        if isinstance(step, RobotsAnswer):
            self._robots.learn(step)
            self._asked.discard(step.origin)
            self._enter(host_of(step.origin + "/"))
            self._ctx.emit.log(
                "info", f"robots.txt of {step.origin}: {step.outcome}, {step.reason}"
            )
            return
        host = host_of(step.url)
        if step.wait_s:
            self._hold(host, step.wait_s, "robots.txt is not to be had")
        self._quests.setdefault(host, deque()).append(step)
        self._enter(host)

    def _settle_page(self, entry: Entry, result: Response | Failure) -> None:
        if isinstance(result, Response) and result.status not in RETRYABLE_STATUS:
            if self._archive.full(len(result.body)):
                self._commit()
            self._intake.settle(entry, result)
        else:
            self._settle_trouble(entry, result)

    def _settle_trouble(self, entry: Entry, result: Response | Failure) -> None:
        """Try again later, or give up; a host that asks for patience is left alone."""
        now = time.time()
        wait_s = retry_wait_s(result, entry.tries, self._settings, now)
        if isinstance(result, Response):
            rule, detail = f"http-{result.status}", result.reason
            self._be_patient(entry.host, result, wait_s, now)
        else:
            rule, detail = f"network-{result.kind}", result.detail
        if wait_s is not None:
            self._frontier.retry(entry, now + wait_s)
        elif rule == "network-address-refused":
            self._frontier.refuse(entry, Refusal("address", "connection guard", detail))
        else:
            self._frontier.fail(entry, Refusal(rule, "network", detail))

    def _be_patient(self, host: str, result: Response, wait_s: float | None, now: float) -> None:
        asked = asked_wait_s(result, now)
        if asked is not None and asked > self._settings.max_retry_wait_s:
            why = f"HTTP {result.status}, Retry-After {asked:.0f} s"
            self._suspended[host] = why
            self._frontier.hold(Hold(host, now + asked, suspended=True, why=why))
        elif asked is not None:
            self._hold(host, asked, f"HTTP {result.status}, Retry-After")
        elif result.status in (429, 503):
            self._hold(host, wait_s or 0.0, f"HTTP {result.status}")

    def _hold(self, host: str, wait_s: float, why: str) -> None:
        self._lanes.hold(host, time.monotonic() + wait_s, why)
        self._frontier.hold(Hold(host, time.time() + wait_s, suspended=False, why=why))

    # Waiting, pausing, committing.

    def _reap(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]
            task.result()

    async def _wait(self) -> None:
        """Until a request ends or a host comes free, but never long: a pause may be wanted."""
        due = self._lanes.next_at()
        free = len(self._tasks) < self._settings.max_concurrency
        left = due - time.monotonic() if due is not None and free else _POLL_S
        self._woken.clear()
        try:
            async with asyncio.timeout(min(max(left, 0.0), _POLL_S)):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _rest(self) -> None:
        """No request in flight while a pause lasts."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_QUIET_AFTER_S)
        await self._cancel_all()
        self._commit()
        self._monitor.rest()
        await self._ctx.pause.apoint()
        self._monitor.go_on()

    async def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _commit(self) -> None:
        """First the archive, then the frontier that points into it."""
        written = self._archive.sync()
        if written is not None:
            self._frontier.set_archive(*written)
        self._monitor.tally_time()
        self._frontier.commit()
        self._committed_at = time.monotonic()

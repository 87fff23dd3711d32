"""The crawl loop: hands out one request at a time per host and settles what comes back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.asking import Asking, Job
from so8t_core.crawl.committing import Committer
from so8t_core.crawl.earlier import Earlier
from so8t_core.crawl.fetcher import Failure, Fetcher, Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.intake import Intake
from so8t_core.crawl.moment import steady_now
from so8t_core.crawl.monitor import Monitor
from so8t_core.crawl.patience import Patience
from so8t_core.crawl.permission import Answer, Permissions, Quest, advance
from so8t_core.crawl.politeness import RETRYABLE_STATUS, Lanes
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.turns import Turns
from so8t_core.crawl.url import BadUrl, host_of
from so8t_core.crawl.warc import Archive
from so8t_core.crawl.waves import Budgets
from so8t_core.crawl.windows import Entry
from so8t_core.phases.base import PhaseContext

_POLL_S = 0.1
_QUIET_AFTER_S = 1.8


class Crawler:
    """One crawl on a frontier and an archive.

    A host has one request at a time; each request, those for robots.txt and each hop of a redirect
    among them, waits for the host's delay. Results are settled without waiting in between, so a
    cancelled request has left no trace but its place in the queue; and a host is asked again only
    when its last result is durable.
    """

    def __init__(
        self,
        ctx: PhaseContext,
        settings: CrawlSettings,
        scope: Scope,
        frontier: Frontier,
        archive: Archive,
        fetcher: Fetcher,
        earlier: Earlier | None,
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._scope = scope
        self._frontier = frontier
        self._permissions = Permissions(frontier, settings)
        self._monitor = Monitor(ctx.emit, frontier, settings)
        self._intake = Intake(
            settings, scope, frontier, archive, self._permissions, self._monitor, earlier
        )
        self._committer = Committer(frontier, archive, self._free)
        self._lanes = Lanes()
        self._patience = Patience(settings, scope, frontier, self._lanes)
        self._asking = Asking(settings, frontier, fetcher, self._patience, earlier)
        self._turns = Turns(
            frontier, self._permissions, self._patience, self._lanes, fetcher.address, self._delay_s
        )
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._ended: deque[asyncio.Task[None]] = deque()
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Crawl until nothing is left to do. `HardPause` leaves everything committed."""
        self._patience.remember()
        self._take_seeds()
        budgets = Budgets(
            self._settings.max_pages,
            self._scope.tier_max_pages,
            self._scope.host_max_pages,
            {
                "max_urls_per_query_page": self._settings.max_urls_per_query_page,
                "max_urls_per_calendar": self._settings.max_urls_per_calendar,
            },
        )
        try:
            while await self._frontier.open_wave(budgets) is not None:
                await self._crawl_wave()
        finally:
            await self._cancel_all()
            self._monitor.tally_time()
            await self._committer.durable()
        self._monitor.show(self._waiting(), ())

    def _waiting(self) -> dict[str, str]:
        """Every host that is not asked now, with the reason."""
        return self._lanes.waiting(time.monotonic()) | self._patience.all_away()

    def _take_seeds(self) -> None:
        for seed, kind in self._scope.seeds():
            url = self._scope.canonical(seed)
            if isinstance(url, BadUrl):
                self._ctx.emit.log("warning", f"Seed {seed!r} is no URL: {url.rule} {url.detail}")
                self._frontier.tally(f"links.{url.rule}")
                continue
            host, tier, refusal = self._scope.place(url, is_page=kind == "page")
            if refusal is not None:
                words = f"{refusal.rule}, {refusal.source} {refusal.detail}"
                self._ctx.emit.log("warning", f"Seed {seed!r} is refused: {words}")
            self._frontier.add([(url, host, tier, refusal)], depth=0, kind=kind)

    async def _crawl_wave(self) -> None:
        self._turns.open(self._frontier.wave_hosts())
        while True:
            self._reap()
            if self._ctx.pause.requested:
                await self._rest()
            self._turns.gather()
            self._hand_out()
            if self._is_done():
                break
            await self._wait()
            if self._monitor.due:
                self._monitor.show(self._waiting(), tuple(self._tasks.values()))
        self._monitor.tally_time()
        await self._committer.durable()

    def _is_done(self) -> bool:
        busy = self._tasks or self._committer.waiting or self._turns.gathering
        return not busy and self._lanes.next_at() is None

    # Handing out.

    def _hand_out(self) -> None:
        while len(self._tasks) < self._limit():
            host = self._lanes.take(time.monotonic())
            if host is None:
                return
            if self._asking.is_unlocated(host):
                self._start(host, self._locate(host))
                continue
            job = self._turns.next(host)
            if job is None:
                continue
            # now, not when the task begins: other hosts of the address may be due at this moment
            share = self._settings.address_delay_share * self._delay_s(host)
            self._lanes.hold_address(host, time.monotonic() + share)
            self._start(host, self._do(host, job))

    def _start(self, host: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = host
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._ended.append(task)
        if not self._committer.waiting or self._lanes.next_at() is not None:
            self._woken.set()

    def _free(self, hosts: list[str]) -> None:
        """The results of these hosts are durable."""
        for host in hosts:
            self._turns.end(host)
        self._woken.set()

    # Asking.

    async def _locate(self, host: str) -> None:
        """Find a host's address before it is first asked: others may be asked there as well."""
        try:
            await self._asking.locate(host)
        finally:
            self._free([host])

    async def _do(self, host: str, job: Job) -> None:
        """One request, and what follows from it."""
        result: Response | Failure | None = None
        settled = False
        try:
            result = await self._asking.ask(host, job)
            if isinstance(job, Quest):
                self._settle_quest(job, result)
            else:
                await self._settle_page(job, result)
            settled = True
        finally:
            answered = result.answered_at if isinstance(result, Response) else time.monotonic()
            self._lanes.hold(host, answered + self._delay_s(host), "delay")
            if settled:
                self._committer.settled(host)
            else:
                self._turns.give_up(job)
                self._free([host])

    def _delay_s(self, host: str) -> float:
        """The least time between two requests to a host, robots.txt's wish above all."""
        return self._patience.delay_s(host, self._live("delay_s", self._settings.delay_s))

    def _limit(self) -> int:
        return max(1, int(self._live("max_concurrency", self._settings.max_concurrency)))

    def _live(self, name: str, configured: float) -> float:
        value = self._ctx.live().get(f"crawl.{name}", configured)
        return float(value) if float(value) >= 0 else configured

    # Settling.

    def _settle_quest(self, quest: Quest, result: Response | Failure) -> None:
        if self._patience.is_barred(host_of(quest.origin + "/")):
            self._turns.answered(quest.origin)  # its URLs are ended with its host
            return
        step = advance(quest, result, self._settings, time.time())
        if isinstance(step, Answer):
            self._permissions.learn(step)
            if self._settings.sitemaps:
                self._intake.take_sitemaps(step)
            self._turns.answered(step.origin)
            self._ctx.emit.log(
                "info", f"robots.txt of {step.origin}: {step.outcome}, {step.reason}"
            )
            return
        host = host_of(step.url)
        if step.so_far is not None:
            self._frontier.note_crawl_delay(host, step.so_far.group.crawl_delay_s)
        if step.wait_s:
            self._patience.hold(host, step.wait_s, f"{step.file} is not to be had")
        self._turns.go_on(step)

    async def _settle_page(self, entry: Entry, result: Response | Failure) -> None:
        if isinstance(result, Failure) or result.status in RETRYABLE_STATUS:
            self._settle_trouble(entry, result)
        elif entry.kind == "page":
            self._intake.settle(entry, result)
        else:
            await self._intake.settle_listing(entry, result)

    def _settle_trouble(self, entry: Entry, result: Response | Failure) -> None:
        """Try again later, or give up; a host that asks for patience is left alone."""
        wait_s = self._patience.after(entry, result)
        if isinstance(result, Response):
            rule, detail = f"http-{result.status}", result.reason
        else:
            rule, detail = f"network-{result.kind}", result.detail
        away = self._patience.away(entry.host)
        if away is not None and entry.tries < self._settings.max_retries:
            self._frontier.put_off(entry, away[1])
        elif wait_s is not None:
            self._frontier.retry(entry, steady_now() + wait_s)
        elif rule == "network-address-refused":
            self._frontier.refuse(entry, Refusal("address", "connection guard", detail))
        else:
            self._frontier.fail(entry, Refusal(rule, "network", detail))

    # Waiting and pausing.

    def _reap(self) -> None:
        self._committer.check()
        while self._ended:
            task = self._ended.popleft()
            if self._tasks.pop(task, None) is not None:
                task.result()

    async def _wait(self) -> None:
        """Until a request ends or a host comes free, but never long: a pause may be wanted."""
        due = self._lanes.next_at()
        free = len(self._tasks) < self._limit()
        left = due - time.monotonic() if due is not None and free else _POLL_S
        if self._ended or left <= 0 or self._turns.gathering:
            await asyncio.sleep(0)
            return
        self._woken.clear()
        timer = asyncio.get_running_loop().call_later(min(left, _POLL_S), self._woken.set)
        await self._woken.wait()
        timer.cancel()

    async def _rest(self) -> None:
        """No request in flight while a pause lasts."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_QUIET_AFTER_S)
        await self._cancel_all()
        self._monitor.tally_time()
        await self._committer.durable()
        self._monitor.rest()
        await self._ctx.pause.apoint()
        self._monitor.go_on()

    async def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended: list[Any] = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._ended.clear()
        for error in ended:
            if isinstance(error, Exception):
                raise error

"""A web server for tests: any hosts on one loopback port, in a thread, with its own log."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """What the server answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


OWNERS_FILES = ("/robots.txt", "/.well-known/tdmrep.json", "/ai.txt")

Answer = Reply | list[Reply] | Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """A request as the server saw it: when it came and when it was answered (monotonic)."""

    url: str
    came_at: float
    user_agent: str


def html(*links: str, head: str = "", text: str = "本文です。") -> Reply:
    """A page with links."""
    anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
    body = f"<html><head><title>題</title>{head}</head><body><p>{text}</p>{anchors}</body></html>"
    return Reply(body=body.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


class Site:
    """Serves `answers`, keyed by URL without a port; anything else is a 404.

    A list is worked off request by request, its last reply stays.
    """

    def __init__(self, answers: Mapping[str, Answer], *, latency_s: float = 0.0) -> None:
        self.answers = dict(answers)
        self.log: list[Seen] = []
        self.most_at_once = 0
        self._latency_s = latency_s
        self._open: dict[str, list[web.BaseRequest]] = {}
        self._served: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = 0

    @property
    def resolve(self) -> dict[str, str]:
        """The setting that leads every host here."""
        hosts = {url.split("/")[2] for url in self.answers}
        return dict.fromkeys(hosts, f"127.0.0.1:{self.port}")

    @property
    def urls(self) -> list[str]:
        """The URLs asked for, in order."""
        return [seen.url for seen in self.log]

    def pages_asked(self) -> list[str]:
        """The same without robots.txt and the files on training."""
        return [url for url in self.urls if not url.endswith(OWNERS_FILES)]

    def gaps_s(self, host: str) -> list[float]:
        """Times between requests to a host."""
        times = [seen.came_at for seen in self.log if seen.url.split("/")[2] == host]
        return [later - earlier for earlier, later in zip(times, times[1:], strict=False)]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def _serve(self) -> None:
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        url = f"http://{host}{request.path_qs}"
        self.log.append(Seen(url, time.monotonic(), request.headers.get("User-Agent", "")))
        self._open.setdefault(host, []).append(request)
        # a client that has hung up asks no longer, even where the answer is still being made
        asking = [open_one for open_one in self._open[host] if open_one.transport is not None]
        self.most_at_once = max(self.most_at_once, len(asking))
        try:
            await asyncio.sleep(self._latency_s)
            return await self._reply(url, request)
        finally:
            self._open[host].remove(request)

    async def _reply(self, url: str, request: web.BaseRequest) -> web.StreamResponse:
        answer = self.answers.get(url, Reply(404))
        if callable(answer):
            return await answer(request)
        if isinstance(answer, list):
            turn = self._served.get(url, 0)
            self._served[url] = turn + 1
            answer = answer[min(turn, len(answer) - 1)]
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

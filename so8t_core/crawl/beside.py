"""Reading pages beside the fetching, in one process more.

As a program (`python -m so8t_core.crawl.beside FD`) it serves the other end of a socket pair:
frames of a length and a pickle, first the settings, then pages in, readings out, in the same order.
It ends with the connection, so that it never outlives the crawl.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
import subprocess
import sys
from collections import deque
from types import TracebackType
from typing import Any, Self

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.reading import PageReader, Reading
from so8t_core.crawl.windows import Entry

_LENGTH = struct.Struct(">I")
_PATIENCE_S = 5.0


def _frame(value: object) -> bytes:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class Beside:
    """A reader in a process of its own; a `Reader`."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._waiting: deque[asyncio.Future[Reading]] = deque()

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "so8t_core.crawl.beside", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._answers, self._tasks = await asyncio.open_connection(sock=ours)
        self._tasks.write(_frame(self._settings))
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tasks.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        try:
            await asyncio.to_thread(self._process.wait, _PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def read(self, entry: Entry, answer: Response, robots: str, *, recorded: bool) -> Reading:
        """See `Reader`. Raises `ResourceError` where the process has ended."""
        if self._listening.done():
            raise self._ended()
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._tasks.write(_frame((entry, answer, robots, recorded)))
        reading: Reading = await future
        return reading

    async def _listen(self) -> None:
        """Hand each reading to whoever waits for it longest."""
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._answers.readexactly(_LENGTH.size))
                reading = pickle.loads(await self._answers.readexactly(length))  # noqa: S301 - ours
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reading)
        except (EOFError, OSError):
            for future in self._waiting:
                if not future.done():
                    future.set_exception(self._ended())

    @staticmethod
    def _ended() -> ResourceError:
        return ResourceError(
            "The process that reads pages has ended.",
            where="so8t_core.crawl.beside",
            hint="Resume the run; if it ends again, set crawl.reading to `inside` and look there.",
        )


def _receive(stream: Any) -> Any:
    """The next value; raises `EOFError` at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return pickle.loads(stream.read(*_LENGTH.unpack(head)))  # noqa: S301 - from our own process


def serve(descriptor: int) -> None:
    """Read pages until the connection ends."""
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rb") as stream:
        try:
            reader = PageReader(_receive(stream))
            while True:
                entry, answer, robots, recorded = _receive(stream)
                reading = reader.read_now(entry, answer, robots, recorded=recorded)
                connection.sendall(_frame(reading))
        except (EOFError, ConnectionError):
            return  # the crawl has ended


if __name__ == "__main__":
    serve(int(sys.argv[1]))

"""Group commit: whoever has settled something waits until the next write has made it durable."""

from __future__ import annotations

import asyncio

from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.warc import Archive


class Committer:
    """Writes archive and frontier in a thread, in that order, one write at a time.

    While a write runs, what is settled meanwhile gathers for the next one.
    """

    def __init__(self, frontier: Frontier, archive: Archive) -> None:
        self._frontier = frontier
        self._archive = archive
        self._next: asyncio.Future[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def durable(self) -> None:
        """Return when everything that was settled before this call is durable.

        Raises `StoreError` where it cannot be written.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await asyncio.shield(self._next)

    async def _write_all(self) -> None:
        try:
            while self._next is not None:
                asked, self._next = self._next, None
                await self._write(asked)
        finally:
            self._writing = None

    async def _write(self, asked: asyncio.Future[None]) -> None:
        pending, ends = self._archive.take()
        for name, size_bytes in ends.items():
            self._frontier.set_archive(name, size_bytes)
        batch = self._frontier.swap()

        def write() -> None:
            self._archive.write(pending)
            self._frontier.write(batch)

        try:
            await asyncio.to_thread(write)
        except Exception as error:  # noqa: BLE001 - told to everyone who waits for this write
            asked.set_exception(error)
        else:
            asked.set_result(None)

"""Group commit: what was settled is followed up when the next write has made it durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.store import Batch
from so8t_core.crawl.warc import Archive, Pending


class Committer:
    """Writes archive and frontier in a thread, in that order, one write at a time.

    While a write runs, what is settled meanwhile gathers for the next one.
    """

    def __init__(
        self, frontier: Frontier, archive: Archive, follow_up: Callable[[list[str]], None]
    ) -> None:
        """`follow_up` gets the hosts whose results have just become durable."""
        self._frontier = frontier
        self._archive = archive
        self._follow_up = follow_up
        self._hosts: list[str] = []
        self._asked = False
        self._writing: asyncio.Task[None] | None = None

    def settled(self, host: str) -> None:
        """A result of a host was settled: it is to be made durable."""
        self._hosts.append(host)
        self._start()

    async def durable(self) -> None:
        """Return when everything that was settled before this call is durable.

        Raises `StoreError` where it cannot be written.
        """
        self._start()
        while self._writing is not None:
            await asyncio.shield(self._writing)

    def check(self) -> None:
        """Raise `StoreError` where a write has failed."""
        if self._writing is not None and self._writing.done():
            self._writing.result()

    @property
    def waiting(self) -> bool:
        """Whether results of hosts are on their way to the disk."""
        return self._writing is not None

    def _start(self) -> None:
        self._asked = True
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._asked:
            self._asked = False
            hosts, self._hosts = self._hosts, []
            pending, ends = self._archive.take()
            for name, size_bytes in ends.items():
                self._frontier.set_archive(name, size_bytes)
            batch = self._frontier.swap()
            await asyncio.to_thread(self._write, pending, batch)
            self._follow_up(hosts)
        self._writing = None

    def _write(self, pending: Pending, batch: Batch) -> None:
        """First the archive, then the frontier that points into it."""
        self._archive.write(pending)
        self._frontier.write(batch)

"""What the engine looks at while phases run: its heartbeat, the control state, the machine."""

from __future__ import annotations

import asyncio

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.events import Draft
from so8t_core.contract.lock import HEARTBEAT_EVERY_S
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings.engine import EngineSettings
from so8t_core.engine.book import Book
from so8t_core.engine.resources import ResourceMeter, shortage
from so8t_core.engine.steering import Heard, Steering

CONTROL_EVERY_S = 0.05
PAUSED_RESOURCES_FACTOR = 30
"""A paused run takes its readings this much less often, so that its journal hardly grows."""


class Tickers:
    """Three endless tasks. `short` is the machine's shortage at the last reading, if any."""

    def __init__(
        self, run: RunDir, settings: EngineSettings, book: Book, steering: Steering
    ) -> None:
        self._run = run
        self._settings = settings
        self._book = book
        self._steering = steering
        self.short: ResourceError | None = None

    def start(self) -> list[asyncio.Task[None]]:
        """Start them all; they end by being cancelled, or by an error."""
        return [
            asyncio.create_task(ticker())
            for ticker in (self._beat, self._watch_control, self._watch_resources)
        ]

    async def _beat(self) -> None:
        while True:
            self._run.heartbeat.touch()
            await asyncio.sleep(HEARTBEAT_EVERY_S)

    async def _watch_control(self) -> None:
        revision = self._steering.control.revision
        while True:
            await asyncio.sleep(CONTROL_EVERY_S)
            control = self._steering.newest()
            if control.revision != revision:
                revision = control.revision
                self._steering.changed(control)

    async def _watch_resources(self) -> None:
        meter = ResourceMeter(self._run.root)
        while True:
            values = meter.read()
            self._book.tell(Draft("resources", {"values": values}))
            self.short = shortage(values, self._settings, self._run.root)
            if self.short is not None:
                self._steering.inbox.put_nowait(Heard("short", self.short))
            resting = PAUSED_RESOURCES_FACTOR if self._book.state.state == "paused" else 1
            await asyncio.sleep(self._settings.resources_every_s * resting)

"""The phase's side of the channel: events out, coalesced at the source; pause requests in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

from so8t_core.contract.control import PauseMode
from so8t_core.engine.channel import encode
from so8t_core.phases.base import HardPause, Level

FLUSH_EVERY_S = 0.1
STATS_EVERY_S = 0.5
ITEMS_A_FLUSH = 5
LOG_LINES_A_FLUSH = 50

DraftPair = tuple[str, Mapping[str, Any]]


class Channel:
    """Sends messages, receives wishes; ends the whole process group when the engine is gone."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._send_lock = threading.Lock()
        self._changed = threading.Condition()
        self._pause: PauseMode | None = None
        self._live: dict[str, Any] = {}
        self._wishes = 0
        self._acked = 0
        self._asked = 0
        threading.Thread(target=self._listen, name="so8t-channel", daemon=True).start()

    @property
    def pause(self) -> PauseMode | None:
        """The pause that is wanted now."""
        return self._pause

    @property
    def live(self) -> Mapping[str, Any]:
        """The live settings as last told."""
        return self._live

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; the order of calls is kept."""
        line = encode(message)
        with self._send_lock:
            self._socket.sendall(line)

    def send_and_wait(self, drafts: list[DraftPair]) -> None:
        """Send events and return when the journal holds them durably."""
        with self._changed:
            self._asked += 1
            number = self._asked
        self.send({"t": "drafts", "drafts": drafts, "ack": number})
        with self._changed:
            self._changed.wait_for(lambda: self._acked >= number)

    @property
    def wishes(self) -> int:
        """How many wishes have come; a wish that changes nothing counts too."""
        return self._wishes

    def wait_for_wish(self, seen: int) -> None:
        """Block until more wishes have come than were seen."""
        with self._changed:
            self._changed.wait_for(lambda: self._wishes > seen)

    def _listen(self) -> None:
        try:
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    self._receive(json.loads(line))
        except OSError:
            pass  # a reset connection is the same end of the engine as a closed one
        os.killpg(0, signal.SIGKILL)

    def _receive(self, message: Mapping[str, Any]) -> None:
        quiesce = False
        with self._changed:
            if message["t"] == "ack":
                self._acked = max(self._acked, message["ack"])
            else:
                quiesce = self._pause is None and message["pause"] is not None
                self._wishes += 1
                self._pause = message["pause"]
                self._live = message["live"]
            self._changed.notify_all()
        if quiesce:
            self.send({"t": "quiescing"})


class ChannelEmitter:
    """`phases.base.Emitter` over the channel; a thread sends what gathered, ten times a second."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._progress: Mapping[str, Any] | None = None
        self._stats: dict[str, Any] = {}
        self._stats_sent_at = 0.0
        self._points: dict[str, tuple[int, float]] = {}
        self._items: list[Mapping[str, Any]] = []
        self._lines: list[Mapping[str, Any]] = []
        self._lines_left_out = 0
        self.fallbacks: list[str] = []
        threading.Thread(target=self._flush_forever, name="so8t-emitter", daemon=True).start()

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        """See `phases.base.Emitter`."""
        with self._lock:
            self._progress = {"done": done, "total": total, "unit": unit, "message": message}

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        """See `phases.base.Emitter`."""
        with self._lock:
            self._points.update({name: (step, value) for name, value in values.items()})

    def stats(self, values: Mapping[str, Any]) -> None:
        """See `phases.base.Emitter`."""
        with self._lock:
            self._stats.update(values)

    def item(self, kind: str, text: str, **fields: Any) -> None:
        """See `phases.base.Emitter`."""
        with self._lock:
            self._items = [
                *self._items[-ITEMS_A_FLUSH + 1 :],
                {"item": kind, "text": text, **fields},
            ]

    def log(self, level: Level, message: str) -> None:
        """See `phases.base.Emitter`."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        sys.stdout.write(f"{stamp} {level:7} {message}\n")
        sys.stdout.flush()
        if level == "debug":
            return
        with self._lock:
            if len(self._lines) < LOG_LINES_A_FLUSH:
                self._lines.append({"level": level, "message": message})
            else:
                self._lines_left_out += 1

    def fallback(self, what: str, why: str) -> None:
        """See `phases.base.Emitter`."""
        told = f"{what} ({why})"
        if told not in self.fallbacks:
            self.fallbacks.append(told)
        self._send_now([("fallback", {"what": what, "why": why})])

    def checkpoint(self, step: int, path: str, reason: str, size_bytes: int) -> None:
        """See `phases.base.Emitter`."""
        payload = {"step": step, "path": path, "reason": reason, "size_bytes": size_bytes}
        self._send_durably([("checkpoint", payload)])

    def rewound(self, step: int) -> None:
        """See `phases.base.Emitter`."""
        self._send_durably([("rewound", {"step": step})])

    def flush(self) -> None:
        """Send everything that has gathered."""
        self._send_now([])

    def _gathered(self, *, everything: bool) -> list[DraftPair]:
        drafts: list[DraftPair] = []
        now = time.monotonic()
        if self._points:
            points = [[name, step, value] for name, (step, value) in self._points.items()]
            drafts.append(("metrics", {"points": points}))
            self._points = {}
        if self._progress is not None:
            drafts.append(("progress", self._progress))
            self._progress = None
        if self._stats and (everything or now - self._stats_sent_at >= STATS_EVERY_S):
            drafts.append(("stats", {"values": self._stats}))
            self._stats, self._stats_sent_at = {}, now
        drafts.extend(("item", item) for item in self._items)
        drafts.extend(("log", line) for line in self._lines)
        if self._lines_left_out:
            message = f"{self._lines_left_out} more lines are in the phase's log file."
            drafts.append(("log", {"level": "info", "message": message}))
        self._items, self._lines, self._lines_left_out = [], [], 0
        return drafts

    def _send_now(self, drafts: list[DraftPair]) -> None:
        with self._lock:
            together = [*self._gathered(everything=True), *drafts]
            if together:
                self._channel.send({"t": "drafts", "drafts": together, "ack": None})

    def _send_durably(self, drafts: list[DraftPair]) -> None:
        self.flush()
        self._channel.send_and_wait(drafts)

    def _flush_forever(self) -> None:
        while True:
            time.sleep(FLUSH_EVERY_S)
            with self._lock:
                drafts = self._gathered(everything=False)
                if drafts:
                    self._channel.send({"t": "drafts", "drafts": drafts, "ack": None})


class ChannelGate:
    """`phases.base.PauseGate` over the channel; `paused_s` sums the time held in soft pauses."""

    def __init__(self, channel: Channel, emitter: ChannelEmitter) -> None:
        self._channel = channel
        self._emitter = emitter
        self._leaving = False
        self.at_work = False
        """True once the phase has something to save: from then on imports are no pause points."""
        self.paused_s = 0.0

    @property
    def requested(self) -> bool:
        """See `phases.base.PauseGate`."""
        return self._channel.pause is not None

    def point(self, save: Callable[[], None] | None = None) -> None:
        """See `phases.base.PauseGate`."""
        self.at_work = self.at_work or save is not None
        if self._channel.pause is None and not self._leaving:
            return
        if self._channel.pause == "soft" and not self._leaving:
            self._hold()
        if self._channel.pause == "hard" or self._leaving:
            if save is not None and not self._leaving:
                save()
            # a library that swallowed this once, around an import, must not go on half-loaded
            self._leaving = True
            raise HardPause

    async def apoint(self) -> None:
        """See `phases.base.PauseGate`; other tasks of the loop go on while it holds."""
        if self._channel.pause is None:
            return
        await asyncio.to_thread(self.point)

    def _hold(self) -> None:
        began = time.monotonic()
        self._emitter.flush()
        while True:
            # said again after every wish: a pause that was lifted and asked for anew while this
            # process could not look must be answered too
            seen = self._channel.wishes
            if self._channel.pause != "soft":
                break
            self._channel.send({"t": "paused"})
            self._channel.wait_for_wish(seen)
        self.paused_s += time.monotonic() - began
        if self._channel.pause is None:
            self._channel.send({"t": "resumed"})


class PausingImports(MetaPathFinder):
    """Makes every import of the main thread a pause point: loading libraries takes seconds."""

    def __init__(self, gate: ChannelGate) -> None:
        self._gate = gate

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Find nothing; hold or leave where a pause is wanted, but never inside an event loop."""
        del fullname, path, target
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and not self._gate.at_work and not _loop_runs():
            self._gate.point()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

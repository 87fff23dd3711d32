"""What is wanted of the run, as the engine has heard it, and the waiting that follows from it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from so8t_core.contract.control import Control, ControlStore
from so8t_core.contract.errors import So8tError
from so8t_core.contract.events import Draft
from so8t_core.contract.phases import PhaseName
from so8t_core.engine.book import Book

Ending = Literal["done", "skipped", "failed", "stopped"]
"""How a phase, or the run, ended: `stopped` means saved and to be resumed."""


@dataclass(frozen=True)
class Heard:
    """Something that reached the engine: from the phase's process, the user or the machine."""

    kind: Literal["phase", "exit", "control", "short", "signal"]
    body: Any = None


class Steering:
    """The control state in force. Everything that happens comes through `inbox`, in order."""

    def __init__(self, book: Book, store: ControlStore) -> None:
        self._book = book
        self._store = store
        self.inbox: asyncio.Queue[Heard] = asyncio.Queue()
        self.control = store.read()
        self.signals = 0
        self.signalled = asyncio.Event()
        self.phase_runs = False
        """True while a phase's process runs and is the one to acknowledge a pause."""

    def newest(self) -> Control:
        """The control state as stored now."""
        return self._store.read()

    def on_signal(self) -> None:
        """SIGINT or SIGTERM: the first one asks for a clean stop, a second one ends at once."""
        self.signals += 1
        self.signalled.set()
        self.inbox.put_nowait(Heard("signal"))
        if self.signals == 1:
            with suppress(So8tError):  # a full disk must not keep a signal from being obeyed
                self._store.amend(
                    lambda c: replace(c, desired="stopped", mode="hard"), who="signal"
                )

    def changed(self, control: Control) -> None:
        """A new revision was found: acknowledge a pause at once, let the rest come in order."""
        if not self.phase_runs and control.desired != "running":
            self._acknowledge(control)
        self.inbox.put_nowait(Heard("control", control))

    def _acknowledge(self, control: Control) -> None:
        if self._book.state.state != "pausing":
            facts = {"mode": control.mode, "who": control.who}
            self._book.tell(Draft("pause_requested", facts))

    def note(self, control: Control) -> None:
        """Take a revision as the one in force, and journal that it was seen."""
        self.control = control
        if control.desired == "running":
            self.signals = 0
        if control.revision == self._book.state.control_revision:
            return
        payload = {
            "revision": control.revision,
            "who": control.who,
            "desired": control.desired,
            "mode": control.mode,
            "live": control.live,
        }
        self._book.tell(Draft("control_seen", payload))

    def unserved_retries(self) -> list[PhaseName]:
        """Phases that somebody wants to run again, and that have not since."""
        acted = self._book.state.acted
        wanted = self.control.retry.items()
        return [name for name, count in wanted if count > acted.get(f"retry:{name}", 0)]

    def retried(self, name: PhaseName) -> None:
        """Journal that a phase runs again on request, and that the request is thereby served."""
        self._serve(f"retry:{name}", self.control.retry.get(name, 0))

    def _serve(self, request: str, count: int, *before: Draft) -> None:
        served = {
            "revision": self.control.revision,
            "who": self.control.who,
            "acted": {request: count},
        }
        self._book.tell(*before, Draft("control_seen", served))

    def skip_wanted(self, name: PhaseName) -> bool:
        """Whether somebody wants the phase skipped, and it has not been since."""
        return self.control.skip.get(name, 0) > self._book.state.acted.get(f"skip:{name}", 0)

    def skipped(self, name: PhaseName) -> None:
        """Journal that a phase is skipped on request, and that the request is thereby served."""
        told = Draft("phase_skipped", {"reason": f"{self.control.who} asked for it"}, name)
        self._serve(f"skip:{name}", self.control.skip.get(name, 0), told)

    def hear(self, heard: Heard) -> None:
        """Take in something while no phase's process runs."""
        if heard.kind == "control":
            self.note(heard.body)
        elif heard.kind == "signal":
            self.note(replace(self.newest(), desired="stopped", mode="hard"))

    async def clear_to_run(self, name: PhaseName) -> Ending | None:
        """Hold here while a pause is wanted; `stopped` or `skipped` where that is wanted."""
        while True:
            while not self.inbox.empty():
                self.hear(self.inbox.get_nowait())
            state = self._book.state.state
            if self.control.desired == "stopped":
                if state != "paused":
                    self._book.tell(Draft("paused", {"mode": "hard"}))
                return "stopped"
            if self.skip_wanted(name):
                self.skipped(name)
                return "skipped"
            if self.control.desired == "running":
                if state in {"paused", "pausing"}:
                    self._book.tell(Draft("resumed", {"who": self.control.who}))
                return None
            if state != "paused":
                self._acknowledge(self.control)
                self._book.tell(Draft("paused", {"mode": self.control.mode}))
            self.hear(await self.inbox.get())

    async def wait_for_retry(self, name: PhaseName, wait_s: float) -> None:
        """Wait out the backoff; a pause, a stop, a skip or a wish to retry cuts it short."""
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            if self.control.desired != "running" or self.skip_wanted(name):
                return
            if name in self.unserved_retries():
                self.retried(name)
                return
            with suppress(TimeoutError):
                self.hear(await asyncio.wait_for(self.inbox.get(), left))

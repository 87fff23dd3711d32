"""One attempt at a phase: its process from start to end, again after each hard pause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from so8t_core.contract.control import PauseMode
from so8t_core.contract.errors import So8tError
from so8t_core.contract.events import Draft
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.engine.book import Book
from so8t_core.engine.process import PhaseProcess
from so8t_core.engine.steering import Ending, Heard, Steering
from so8t_core.engine.tickers import Tickers

Result = tuple[Ending, Mapping[str, Any] | None]
"""How the attempt ended; with `failed`, the error as a journal payload."""


@dataclass
class _Running:
    """What is known of the phase process that runs now."""

    name: PhaseName
    process: PhaseProcess
    told: PauseMode | None = None
    end: Mapping[str, Any] | None = None
    skip: bool = False
    error: So8tError | None = None


class Attempts:
    """Makes attempts at phases. `package` is where the phase modules are imported from."""

    def __init__(
        self, run: RunDir, book: Book, steering: Steering, tickers: Tickers, package: str
    ) -> None:
        self._run = run
        self._book = book
        self._steering = steering
        self._tickers = tickers
        self._package = package

    async def make(self, name: PhaseName, number: int) -> Result:
        """Run the phase's process until it ends, again after each hard pause."""
        while True:
            held = await self._steering.clear_to_run(name)
            if held is not None:
                return held, None
            if self._tickers.short is not None:
                return "failed", self._tickers.short.as_payload()
            result = self._judge(await self._run_process(name, number))
            if result is not None:
                return result

    def _judge(self, running: _Running) -> Result | None:
        """What the ended process means; None where a hard pause asks for another one."""
        name, end = running.name, running.end
        status = end["status"] if end is not None else None
        if end is not None and status == "done":
            facts = {key: end[key] for key in ("figures", "digest", "active_s")}
            self._book.tell(Draft("phase_done", facts, name))
            return "done", None
        if running.error is not None:
            return "failed", running.error.as_payload()
        if running.skip:
            self._steering.skipped(name)
            return "skipped", None
        if end is None:
            if self._steering.signals > 1:
                facts = {"reason": "ended at once by a second signal", "at": time.time()}
                self._book.tell(Draft("phase_interrupted", facts, name))
                return "stopped", None
            return "failed", _died(name, self._run)
        if status == "failed":
            return "failed", end["error"]
        self._book.tell(Draft("paused", {"mode": "hard"}, name))
        return ("stopped", None) if self._steering.control.desired == "stopped" else None

    async def _run_process(self, name: PhaseName, number: int) -> _Running:
        inbox = self._steering.inbox
        view = self._book.state.phases[name]
        process = await PhaseProcess.start(
            self._run,
            name,
            attempt=number,
            active_before_s=view.active_s,
            hear=lambda message: inbox.put_nowait(Heard("phase", message)),
            package=self._package,
        )
        running = _Running(name, process)
        self._steering.phase_runs = True
        if view.state == "paused":
            self._book.tell(Draft("resumed", {"who": self._steering.control.who}, name))
        self._book.tell(Draft("phase_started", {"attempt": number, "pid": process.pid}, name))
        ending = asyncio.create_task(process.ended())
        ending.add_done_callback(lambda _: inbox.put_nowait(Heard("exit")))
        self._steer(running)
        try:
            while (heard := await inbox.get()).kind != "exit":
                self._hear(running, heard)
        finally:
            self._steering.phase_runs = False
            process.close()
            ending.cancel()
        return running

    def _hear(self, running: _Running, heard: Heard) -> None:
        if heard.kind == "phase":
            self._hear_phase(running, heard.body)
            return
        if heard.kind == "control":
            self._steering.note(heard.body)
        elif heard.kind == "short":
            running.error = running.error or heard.body
        elif self._steering.signals > 1:
            running.process.kill()
        else:
            self._steering.hear(heard)
        self._steer(running)

    def _steer(self, running: _Running) -> None:
        """Tell the phase what is wanted of it now, where that changed."""
        control = self._steering.control
        running.skip = self._steering.skip_wanted(running.name)
        wanted: PauseMode | None
        if control.desired == "stopped" or running.skip or running.error is not None:
            wanted = "hard"
        else:
            wanted = control.mode if control.desired == "paused" else None
        running.process.send({"t": "want", "pause": wanted, "live": control.live})
        if wanted == running.told:
            return
        if wanted is not None:
            facts = {"mode": wanted, "who": control.who}
            self._book.tell(Draft("pause_requested", facts, running.name))
        elif self._book.state.phases[running.name].state == "pausing":
            self._book.tell(Draft("resumed", {"who": control.who}, running.name))
        running.told = wanted

    def _hear_phase(self, running: _Running, message: Mapping[str, Any]) -> None:
        name = running.name
        if message["t"] == "drafts":
            self._book.tell(*(Draft(kind, payload, name) for kind, payload in message["drafts"]))
            if message["ack"] is not None:
                running.process.send({"t": "ack", "ack": message["ack"]})
        elif message["t"] == "quiescing":
            self._book.tell(Draft("quiescing", {"mode": running.told}, name))
        elif message["t"] == "paused":
            if running.told == "soft" and self._book.state.state != "paused":
                self._book.tell(Draft("paused", {"mode": "soft"}, name))
        elif message["t"] == "resumed":
            if self._book.state.phases[name].state in {"paused", "pausing"}:
                self._book.tell(Draft("resumed", {"who": self._steering.control.who}, name))
        else:
            running.end = message


def _died(name: PhaseName, run: RunDir) -> Mapping[str, Any]:
    return {
        "type": "PhaseDied",
        "what": f"The process of {name} ended without a word (killed, or crashed).",
        "where": str(run.logs / f"{name}.log"),
        "hint": "If memory ran out, make batches smaller; what was saved is kept.",
        "retryable": True,
    }

"""The engine: drives the phases of one run, obeys the control state, writes the journal.

Everything that happens reaches one coroutine through one queue, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from so8t_core import __version__
from so8t_core.contract.control import Control, ControlStore, PauseMode
from so8t_core.contract.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_PAUSED,
    InputMissing,
    ResourceError,
    So8tError,
)
from so8t_core.contract.events import Draft, Event
from so8t_core.contract.journal import JournalReader, JournalWriter
from so8t_core.contract.lock import HEARTBEAT_EVERY_S, EngineLock, boot_id
from so8t_core.contract.phases import PHASES, PhaseName, PhaseSpec
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import run_settings
from so8t_core.contract.state import RunState, fold
from so8t_core.engine.notify import notify
from so8t_core.engine.plan import decide, forget, missing_needs, prepare_folder, preview
from so8t_core.engine.process import PhaseProcess, end_leftovers
from so8t_core.engine.resources import ResourceMeter, shortage

CONTROL_EVERY_S = 0.05
PAUSED_RESOURCES_FACTOR = 30
"""A paused run takes its readings this much less often, so that its journal hardly grows."""

Observer = Callable[[RunState, Event], None]
Ending = Literal["done", "skipped", "failed", "stopped"]


@dataclass(frozen=True)
class _Heard:
    """Something that reached the engine."""

    kind: Literal["phase", "exit", "control", "short", "signal"]
    body: Any = None


@dataclass
class _Attempt:
    """What is known of the phase process that runs now."""

    spec: PhaseSpec
    number: int
    process: PhaseProcess
    told: PauseMode | None = None
    end: Mapping[str, Any] | None = None
    skip: bool = False
    error: So8tError | None = None


class Engine:
    """One engine for one run; `run` returns the exit code.

    `only`: run just these phases. `observers` are called with each event as it is journaled.
    `phases_package`: where the phase modules are imported from.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        only: tuple[PhaseName, ...] = (),
        observers: tuple[Observer, ...] = (),
        phases_package: str = "so8t_core.phases",
    ) -> None:
        self._run = run
        self._only = only
        self._observers = observers
        self._phases_package = phases_package
        self._settings = run_settings(run)
        self._lock = EngineLock(run)
        self._inbox: asyncio.Queue[_Heard] = asyncio.Queue()
        self._state = RunState()
        self._signals = 0
        self._journal: JournalWriter
        self._store: ControlStore
        self._control = Control()
        self._current: PhaseName | None = None
        self._short: ResourceError | None = None

    async def run(self) -> int:
        """Take the lock, drive the phases, say goodbye. Raises `RunBusy` and `StoreError`."""
        self._lock.acquire()
        try:
            end_leftovers(self._run)
            with JournalWriter(self._run.journal) as self._journal:
                with JournalReader(self._run.journal) as reader:
                    while events := reader.after(self._state.last_seq, 10_000):
                        for event in events:
                            self._state = fold(self._state, event)
                with ControlStore(self._run.control) as self._store:
                    return await self._live()
        finally:
            self._lock.release()

    # -- life ---------------------------------------------------------------------------------

    async def _live(self) -> int:
        self._greet()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        tickers = [
            asyncio.create_task(ticker())
            for ticker in (self._beat, self._watch_control, self._watch_resources)
        ]
        driver = asyncio.create_task(self._drive_all())
        try:
            await asyncio.wait([driver, *tickers], return_when=asyncio.FIRST_COMPLETED)
            ending = await _result_of(driver, tickers)
        except sqlite3.OperationalError as error:
            raise ResourceError(
                f"The journal cannot be written: {error}.",
                where=str(self._run.journal),
                hint="Free some space, then resume the run.",
            ) from error
        finally:
            for task in (driver, *tickers):
                task.cancel()
            await asyncio.gather(driver, *tickers, return_exceptions=True)
        if ending == "stopped":
            code, reason = EXIT_PAUSED, "stopped; resume it whenever you like"
        else:
            await self._finish(ending)
            code, reason = (EXIT_FAILED if ending == "failed" else EXIT_DONE), ending
        self._tell(Draft("engine_stopped", {"exit_code": code, "reason": reason}))
        return code

    def _greet(self) -> None:
        interrupted = [
            Draft(
                "phase_interrupted",
                {
                    "reason": "its engine ended before it did; it goes on from what is saved",
                    "at": self._state.last_ts,
                },
                name,
            )
            for name, view in self._state.phases.items()
            if view.state in {"running", "pausing", "paused"}
        ]
        facts = {
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "host": platform.node(),
            "version": __version__,
        }
        self._tell(*interrupted, Draft("engine_started", facts))

    async def _finish(self, ending: Ending) -> None:
        failed = [name for name, view in self._state.phases.items() if view.state == "failed"]
        outcome: Literal["done", "failed"] = "failed" if ending == "failed" else "done"
        message = f"{', '.join(failed)} failed" if failed else "all phases are done"
        if self._only and not failed:
            message = f"{', '.join(self._only)} done"
        self._tell(Draft("run_finished", {"outcome": outcome, "message": message}))
        lines = await notify(outcome, self._run, self._settings.notify, message)
        self._tell(Draft("notified", {"lines": lines}))

    def _tell(self, *drafts: Draft) -> None:
        for event in self._journal.append(drafts):
            self._state = fold(self._state, event)
            for observer in self._observers:
                observer(self._state, event)

    # -- what reaches the queue ---------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            self._run.heartbeat.touch()
            await asyncio.sleep(HEARTBEAT_EVERY_S)

    async def _watch_control(self) -> None:
        self._control = self._store.read()
        revision = self._control.revision
        while True:
            await asyncio.sleep(CONTROL_EVERY_S)
            control = self._store.read()
            if control.revision != revision:
                revision = control.revision
                if self._current is None and control.desired != "running":
                    self._acknowledge(control)
                self._inbox.put_nowait(_Heard("control", control))

    def _acknowledge(self, control: Control) -> None:
        """Journal at once that a pause is wanted, between phases or while files are hashed."""
        if self._state.state != "pausing":
            facts = {"mode": control.mode, "who": control.who}
            self._tell(Draft("pause_requested", facts))

    async def _watch_resources(self) -> None:
        meter = ResourceMeter(self._run.root)
        while True:
            values = meter.read()
            self._tell(Draft("resources", {"values": values}))
            self._short = shortage(values, self._settings.engine, self._run.root)
            if self._short is not None:
                self._inbox.put_nowait(_Heard("short", self._short))
            resting = PAUSED_RESOURCES_FACTOR if self._state.state == "paused" else 1
            await asyncio.sleep(self._settings.engine.resources_every_s * resting)

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals == 1:
            self._store.amend(lambda c: replace(c, desired="stopped", mode="hard"), who="signal")
        self._inbox.put_nowait(_Heard("signal", self._signals))

    # -- the run ------------------------------------------------------------------------------

    def _specs(self) -> list[PhaseSpec]:
        return [spec for spec in PHASES if not self._only or spec.name in self._only]

    async def _drive_all(self) -> Ending:
        self._control = self._store.read()
        self._act_on_retries()
        self._note_control(self._control)
        decisions = await asyncio.to_thread(preview, self._run, self._settings, self._specs())
        self._tell(Draft("plan_made", {"decisions": decisions}))
        failed = False
        for spec in self._specs():
            ending = await self._settle(spec)
            if ending == "stopped":
                return "stopped"
            if ending == "failed":
                failed = True
                if not self._settings.engine.continue_on_error:
                    break
        return "failed" if failed else "done"

    def _act_on_retries(self) -> None:
        for name, count in self._control.retry.items():
            if count > self._state.acted.get(f"retry:{name}", 0):
                forget(self._run, name)

    async def _settle(self, spec: PhaseSpec) -> Ending:
        decision = await asyncio.to_thread(decide, self._run, self._settings, spec)
        view = self._state.phases[spec.name]
        if decision.action == "skip":
            self._tell(Draft("phase_skipped", {"reason": decision.reason}, spec.name))
            return "skipped"
        if decision.manifest is not None:
            if view.state != "done" or view.digest != decision.manifest.digest:
                manifest = decision.manifest
                facts = {
                    "figures": manifest.figures,
                    "digest": manifest.digest,
                    "active_s": manifest.active_s,
                    "reason": decision.reason,
                }
                self._tell(Draft("phase_done", facts, spec.name))
            return "done"
        missing = missing_needs(self._run, self._settings, spec)
        if missing:
            return self._lacking(spec, missing)
        removed = prepare_folder(self._run, self._settings, spec)
        if removed or view.state in {"done", "failed", "skipped"}:
            self._tell(Draft("phase_pending", {"reason": decision.reason}, spec.name))
        return await self._try(spec)

    def _lacking(self, spec: PhaseSpec, missing: tuple[PhaseName, ...]) -> Ending:
        states = [f"{name} ({self._state.phases[name].state})" for name in missing]
        if not self._only:
            reason = f"it needs the result of {', '.join(states)}"
            self._tell(Draft("phase_skipped", {"reason": reason}, spec.name))
            return "skipped"
        error = InputMissing(
            f"Phase {spec.name} needs the result of {', '.join(missing)}.",
            where=str(self._run.root),
            hint=f"Run `so8t resume {self._run.name}` to do all phases in order.",
        )
        self._fail(spec, 1, error.as_payload(), None)
        return "failed"

    async def _try(self, spec: PhaseSpec) -> Ending:
        engine = self._settings.engine
        for number in range(1, engine.max_attempts + 1):
            ending, error = await self._attempt(spec, number)
            if error is None:
                return ending
            last = number == engine.max_attempts or not error["retryable"]
            wait = None if last else engine.retry_delay_s * engine.retry_backoff ** (number - 1)
            self._fail(spec, number, error, wait)
            if wait is None:
                return "failed"
            if await self._wait_for_retry(spec, wait) == "stopped":
                return "stopped"
        return "failed"

    def _fail(
        self, spec: PhaseSpec, number: int, error: Mapping[str, Any], wait: float | None
    ) -> None:
        payload = {"attempt": number, "error": dict(error), "retry_in_s": wait}
        self._tell(Draft("phase_failed", payload, spec.name))

    async def _wait_for_retry(self, spec: PhaseSpec, wait_s: float) -> Ending | None:
        """Wait out the backoff; a stop ends it, a pause or a wish to retry cuts it short."""
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):
                heard = await asyncio.wait_for(self._inbox.get(), left)
                retries = self._control.retry.get(spec.name, 0)
                self._hear_between(heard)
                if self._control.desired == "stopped":
                    return "stopped"
                if self._control.desired == "paused":
                    return None
                if self._control.retry.get(spec.name, 0) > retries:
                    return None
        return None

    async def _clear_to_run(self, spec: PhaseSpec) -> Ending | None:
        """Hold here while a pause is wanted; `stopped` or `skipped` where that is wanted."""
        while True:
            while not self._inbox.empty():
                self._hear_between(self._inbox.get_nowait())
            if self._control.desired == "stopped":
                if self._state.state != "paused":
                    self._tell(Draft("paused", {"mode": "hard"}))
                return "stopped"
            if self._skip_wanted(spec.name):
                self._skipped(spec.name)
                return "skipped"
            if self._control.desired == "running":
                if self._state.state in {"paused", "pausing"}:
                    self._tell(Draft("resumed", {"who": self._control.who}))
                return None
            if self._state.state != "paused":
                self._acknowledge(self._control)
                self._tell(Draft("paused", {"mode": self._control.mode}))
            self._hear_between(await self._inbox.get())

    def _hear_between(self, heard: _Heard) -> None:
        if heard.kind == "control":
            self._note_control(heard.body)
        elif heard.kind == "signal" and heard.body == 1:
            self._note_control(self._store.read())

    def _skip_wanted(self, name: PhaseName) -> bool:
        return self._control.skip.get(name, 0) > self._state.acted.get(f"skip:{name}", 0)

    def _note_control(self, control: Control) -> None:
        """Journal that a revision was seen. Skips count as acted on when their phase is settled."""
        self._control = control
        if control.revision == self._state.control_revision:
            return
        payload = {
            "revision": control.revision,
            "who": control.who,
            "desired": control.desired,
            "mode": control.mode,
            "live": control.live,
            "acted": {f"retry:{name}": count for name, count in control.retry.items()},
        }
        self._tell(Draft("control_seen", payload))

    # -- one attempt --------------------------------------------------------------------------

    async def _attempt(
        self, spec: PhaseSpec, number: int
    ) -> tuple[Ending, Mapping[str, Any] | None]:
        """Run the phase's process until it ends, again after each hard pause."""
        while True:
            held = await self._clear_to_run(spec)
            if held is not None:
                return held, None
            if self._short is not None:
                return "failed", self._short.as_payload()
            attempt = await self._run_process(spec, number)
            status = attempt.end["status"] if attempt.end is not None else None
            if attempt.end is not None and status == "done":
                facts = {key: attempt.end[key] for key in ("figures", "digest", "active_s")}
                self._tell(Draft("phase_done", facts, spec.name))
                return "done", None
            if attempt.error is not None:
                return "failed", attempt.error.as_payload()
            if attempt.skip:
                self._skipped(spec.name)
                return "skipped", None
            if attempt.end is None:
                if self._signals > 1:
                    return "stopped", None
                return "failed", _died(spec, self._run)
            if status == "failed":
                return "failed", attempt.end["error"]
            self._tell(Draft("paused", {"mode": "hard"}, spec.name))
            if self._control.desired == "stopped":
                return "stopped", None

    def _skipped(self, name: PhaseName) -> None:
        """Journal that a phase is skipped on request, and that the request is thereby served."""
        served = {
            "revision": self._control.revision,
            "who": self._control.who,
            "acted": {f"skip:{name}": self._control.skip.get(name, 0)},
        }
        self._tell(
            Draft("phase_skipped", {"reason": f"{self._control.who} asked for it"}, name),
            Draft("control_seen", served),
        )

    async def _run_process(self, spec: PhaseSpec, number: int) -> _Attempt:
        view = self._state.phases[spec.name]
        process = await PhaseProcess.start(
            self._run,
            spec.name,
            attempt=number,
            active_before_s=view.active_s,
            package=self._phases_package,
        )
        attempt = _Attempt(spec, number, process)
        self._current = spec.name
        if view.state == "paused":
            self._tell(Draft("resumed", {"who": self._control.who}, spec.name))
        self._tell(Draft("phase_started", {"attempt": number, "pid": process.pid}, spec.name))
        listener = asyncio.create_task(
            process.listen(lambda message: self._inbox.put_nowait(_Heard("phase", message)))
        )
        listener.add_done_callback(
            lambda task: self._inbox.put_nowait(_Heard("exit", task.result()))
        )
        self._steer(attempt)
        try:
            while (heard := await self._inbox.get()).kind != "exit":
                self._hear_during(attempt, heard)
        finally:
            self._current = None
            await process.close()
        return attempt

    def _hear_during(self, attempt: _Attempt, heard: _Heard) -> None:
        if heard.kind == "phase":
            self._hear_phase(attempt, heard.body)
        elif heard.kind == "control":
            self._note_control(heard.body)
            self._steer(attempt)
        elif heard.kind == "short":
            if attempt.error is None:
                attempt.error = heard.body
                self._steer(attempt)
        elif heard.body == 1:
            self._note_control(self._store.read())
            self._steer(attempt)
        else:
            attempt.process.kill()

    def _steer(self, attempt: _Attempt) -> None:
        """Tell the phase what is wanted of it now, where that changed."""
        name = attempt.spec.name
        control = self._control
        attempt.skip = self._skip_wanted(name)
        wanted: PauseMode | None
        if control.desired == "stopped" or attempt.skip or attempt.error is not None:
            wanted = "hard"
        else:
            wanted = control.mode if control.desired == "paused" else None
        attempt.process.send({"t": "want", "pause": wanted, "live": control.live})
        if wanted == attempt.told:
            return
        if wanted is not None:
            facts = {"mode": wanted, "who": control.who}
            self._tell(Draft("pause_requested", facts, name))
        elif self._state.phases[name].state == "pausing":
            self._tell(Draft("resumed", {"who": control.who}, name))
        attempt.told = wanted

    def _hear_phase(self, attempt: _Attempt, message: Mapping[str, Any]) -> None:
        name = attempt.spec.name
        if message["t"] == "drafts":
            self._tell(*(Draft(kind, payload, name) for kind, payload in message["drafts"]))
            if message["ack"] is not None:
                attempt.process.send({"t": "ack", "ack": message["ack"]})
        elif message["t"] == "quiescing":
            self._tell(Draft("quiescing", {"mode": attempt.told}, name))
        elif message["t"] == "paused":
            self._tell(Draft("paused", {"mode": "soft"}, name))
        elif message["t"] == "resumed":
            if self._state.phases[name].state in {"paused", "pausing"}:
                self._tell(Draft("resumed", {"who": self._control.who}, name))
        else:
            attempt.end = message


async def _result_of(driver: asyncio.Task[Ending], tickers: list[asyncio.Task[None]]) -> Ending:
    """The driver's result, or the error of the first ticker that failed before it."""
    if driver.done():
        return driver.result()
    failed = next(ticker for ticker in tickers if ticker.done())
    await failed
    raise AssertionError("tickers never return")


def _died(spec: PhaseSpec, run: RunDir) -> Mapping[str, Any]:
    return {
        "type": "PhaseDied",
        "what": f"The process of {spec.name} ended without a word (killed, or crashed).",
        "where": str(run.logs / f"{spec.name}.log"),
        "hint": "If memory ran out, make batches smaller; what was saved is kept.",
        "retryable": True,
    }

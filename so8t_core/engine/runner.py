"""The engine: drives the phases of one run, obeys the control state, writes the journal.

Everything that happens reaches one coroutine through one queue, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from so8t_core import __version__
from so8t_core.contract.control import ControlStore
from so8t_core.contract.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_PAUSED,
    InputMissing,
    ResourceError,
    So8tError,
    StoreError,
)
from so8t_core.contract.events import Draft
from so8t_core.contract.lock import EngineLock, boot_id
from so8t_core.contract.phases import PHASES, PhaseName, PhaseSpec
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import run_settings
from so8t_core.engine.attempt import Attempts
from so8t_core.engine.book import Book, Observer
from so8t_core.engine.notify import notify
from so8t_core.engine.plan import decide, forget, missing_needs, prepare_folder, preview
from so8t_core.engine.process import end_leftovers
from so8t_core.engine.snapshots import Snapshots
from so8t_core.engine.steering import Ending, Steering
from so8t_core.engine.tickers import Tickers


class Engine:
    """One engine for one run; `run` returns the exit code.

    `only`: run just these phases; none named: those that the last engine was started for and has
    not finished, else all. `observers` are called with each event as it is journaled.
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
        self._book: Book
        self._steering: Steering
        self._attempts: Attempts
        self._telling: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """Take the lock, drive the phases, say goodbye. Raises `RunBusy` and `StoreError`."""
        self._lock.acquire()
        try:
            end_leftovers(self._run)
            with (
                Book(self._run, self._settings, self._observers) as self._book,
                ControlStore(self._run.control) as store,
            ):
                self._steering = Steering(self._book, store)
                return await self._live()
        except sqlite3.OperationalError as error:
            raise ResourceError(
                f"The run's databases cannot be written: {error}.",
                where=str(self._run.root),
                hint="Free some space or mend the permissions, then resume the run.",
            ) from error
        finally:
            self._lock.release()

    async def _live(self) -> int:
        self._only = self._only or self._left_by_the_last()
        self._greet()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._steering.on_signal)
        tickers = Tickers(self._run, self._settings.engine, self._book, self._steering)
        snapshots = Snapshots(self._run, self._book)
        self._attempts = Attempts(
            self._run, self._book, self._steering, tickers, self._phases_package
        )
        try:
            endless = [*tickers.start(), asyncio.create_task(snapshots.keep_up())]
            ending = await _first_of(asyncio.create_task(self._whole_run()), endless)
        except Exception as error:
            self._give_up(error)
            raise
        if ending == "stopped":
            code, reason = EXIT_PAUSED, "stopped; resume it whenever you like"
        elif ending == "failed":
            code, reason = EXIT_FAILED, "failed"
        else:
            code, reason = EXIT_DONE, f"done{self._still_failed()}"
        self._book.tell(Draft("engine_stopped", {"exit_code": code, "reason": reason}))
        snapshots.finish()
        return code

    def _still_failed(self) -> str:
        """What an ending must add of phases that failed before and were not asked for now."""
        names = [name for name, view in self._book.state.phases.items() if view.state == "failed"]
        return f"; failed before, and not run again: {', '.join(names)}" if names else ""

    async def _whole_run(self) -> Ending:
        """Drive the phases, again where a resume came while they were being stopped."""
        while (ending := await self._drive_all()) == "stopped":
            control = self._steering.newest()
            if control.desired != "running" or self._steering.signals:
                return "stopped"
            self._steering.note(control)
        await self._finish(ending)
        return ending

    def _give_up(self, error: Exception) -> None:
        """Journal why this engine cannot go on, where the journal can still be written."""
        what = error.what if isinstance(error, So8tError) else f"{type(error).__name__}: {error}"
        message = f"The engine cannot go on: {what}"
        with suppress(sqlite3.Error, So8tError):
            self._book.tell(
                Draft("log", {"level": "error", "message": message}),
                Draft("run_finished", {"outcome": "failed", "message": message}),
                Draft("engine_stopped", {"exit_code": EXIT_FAILED, "reason": message}),
            )

    def _greet(self) -> None:
        last = self._book.state.engine
        cleanly = last is not None and last.stopped
        cause = "stopped with its engine" if cleanly else "its engine ended before it did"
        interrupted = [
            Draft(
                "phase_interrupted",
                {
                    "reason": f"{cause}; it goes on from what is saved",
                    "at": self._book.state.last_ts,
                },
                name,
            )
            for name, view in self._book.state.phases.items()
            if view.state in {"running", "pausing", "paused"}
        ]
        facts = {
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "host": platform.node(),
            "version": __version__,
            "only": list(self._only) if len(self._only) < len(PHASES) else [],
        }
        self._book.tell(*interrupted, Draft("engine_started", facts))

    def _left_by_the_last(self) -> tuple[PhaseName, ...]:
        """What the last engine was started for, where it is not all and not all of it is done."""
        last = self._book.state.engine
        begun = tuple(s.name for s in PHASES if last is not None and s.name in last.only)
        phases = self._book.state.phases
        return () if all(phases[name].state in {"done", "skipped"} for name in begun) else begun

    async def _finish(self, ending: Ending) -> None:
        """Say how the run stands, and notify; parts of a run that go well leave it unfinished.

        A phase that failed before and was not asked for now does not make this work a failure.
        """
        by_state: dict[str, list[str]] = {}
        for name, view in self._book.state.phases.items():
            by_state.setdefault(view.state, []).append(name)
        message = "; ".join(
            f"{len(names)} {state}" if state == "done" else f"{state}: {', '.join(names)}"
            for state, names in by_state.items()
        )
        failed = ending == "failed"
        if failed or not by_state.keys() - {"done", "skipped"}:
            told = {"outcome": "failed" if failed else "done", "message": message}
            self._book.tell(Draft("run_finished", told))
        outcome: Literal["done", "failed"] = "failed" if failed else "done"
        await asyncio.gather(*self._telling)
        call = asyncio.create_task(notify(outcome, self._run, self._settings.notify, message))
        signalled = asyncio.create_task(self._steering.signalled.wait())
        await asyncio.wait([call, signalled], return_when=asyncio.FIRST_COMPLETED)
        lines = call.result() if call.done() else ["cut short by a signal"]
        for task in (call, signalled):
            task.cancel()
        await asyncio.gather(call, signalled, return_exceptions=True)
        self._book.tell(Draft("notified", {"lines": lines}))

    def _specs(self) -> list[PhaseSpec]:
        return [spec for spec in PHASES if not self._only or spec.name in self._only]

    async def _drive_all(self) -> Ending:
        """Settle all phases in order, and once more as long as somebody wants one again."""
        self._steering.note(self._steering.control)
        while True:
            for name in self._steering.unserved_retries():
                forget(self._run, name)
                self._steering.retried(name)
            decisions = await asyncio.to_thread(preview, self._run, self._settings, self._specs())
            self._book.tell(Draft("plan_made", {"decisions": decisions}))
            ending = await self._settle_all()
            if ending == "stopped" or not self._steering.unserved_retries():
                return ending

    async def _settle_all(self) -> Ending:
        failed = False
        for spec in self._specs():
            was = self._book.state.phases[spec.name].state
            try:
                ending = await self._settle(spec)
                if ending == "done" and was != "done":
                    self._note_milestone(spec.name)
            except (OSError, So8tError) as error:
                ending = self._unusable(spec, error)
            if ending == "stopped":
                return "stopped"
            if ending == "failed":
                failed = True
                if not self._settings.engine.continue_on_error:
                    break
        return "failed" if failed else "done"

    def _note_milestone(self, name: PhaseName) -> None:
        """Tell, beside the run's work, that a phase is done whose end the user waits for."""
        if name not in self._settings.notify.milestones:
            return
        self._book.tell(Draft("milestone", {}, name))

        async def tell() -> None:
            message = f"{name} is done"
            lines = await notify("milestone", self._run, self._settings.notify, message)
            self._book.tell(Draft("notified", {"lines": lines}))

        self._telling.append(asyncio.create_task(tell()))

    def _unusable(self, spec: PhaseSpec, error: OSError | So8tError) -> Ending:
        """A phase whose folder cannot be looked at or made ready."""
        if isinstance(error, OSError):
            error = StoreError(
                f"The folder of {spec.name} cannot be used: {error.strerror or error}.",
                where=str(error.filename or self._run.phase(spec.name)),
                hint="Mend or remove it, then resume the run.",
            )
        self._fail(spec, 1, error.as_payload(), None)
        return "failed"

    async def _settle(self, spec: PhaseSpec) -> Ending:
        whole = len(self._specs()) == len(PHASES)
        decision = await asyncio.to_thread(decide, self._run, self._settings, spec, whole=whole)
        view = self._book.state.phases[spec.name]
        if decision.action == "skip":
            self._book.tell(Draft("phase_skipped", {"reason": decision.reason}, spec.name))
            return "skipped"
        if decision.manifest is not None:
            if decision.uncertain:
                told = {"level": "warning", "message": f"Not made again: {decision.reason}"}
                self._book.tell(Draft("log", told, spec.name))
            if view.state != "done" or view.digest != decision.manifest.digest:
                manifest = decision.manifest
                facts = {
                    "figures": manifest.figures,
                    "digest": manifest.digest,
                    "active_s": manifest.active_s,
                    "reason": decision.reason,
                }
                self._book.tell(Draft("phase_done", facts, spec.name))
            return "done"
        missing = missing_needs(self._run, self._settings, spec)
        if missing:
            return self._lacking(spec, missing)
        removed = prepare_folder(self._run, self._settings, spec)
        if removed or view.state in {"done", "failed", "skipped"}:
            self._book.tell(Draft("phase_pending", {"reason": decision.reason}, spec.name))
        return await self._try(spec)

    def _lacking(self, spec: PhaseSpec, missing: tuple[PhaseName, ...]) -> Ending:
        states = [f"{name} ({self._book.state.phases[name].state})" for name in missing]
        if len(self._specs()) == len(PHASES):
            reason = f"it needs the result of {', '.join(states)}"
            self._book.tell(Draft("phase_skipped", {"reason": reason}, spec.name))
            return "skipped"
        error = InputMissing(
            f"Phase {spec.name} needs the result of {', '.join(missing)}.",
            where=str(self._run.root),
            hint=f"Run `so8t resume {self._run.name} --all` to do all phases in order.",
        )
        self._fail(spec, 1, error.as_payload(), None)
        return "failed"

    async def _try(self, spec: PhaseSpec) -> Ending:
        engine = self._settings.engine
        for number in range(1, engine.max_attempts + 1):
            ending, error = await self._attempts.make(spec.name, number)
            if error is None:
                return ending
            last = number == engine.max_attempts or not error["retryable"]
            wait = None if last else engine.retry_delay_s * engine.retry_backoff ** (number - 1)
            self._fail(spec, number, error, wait)
            if wait is None:
                return "failed"
            await self._steering.wait_for_retry(spec.name, wait)
        return "failed"

    def _fail(
        self, spec: PhaseSpec, number: int, error: Mapping[str, Any], wait: float | None
    ) -> None:
        payload = {"attempt": number, "error": dict(error), "retry_in_s": wait}
        self._book.tell(Draft("phase_failed", payload, spec.name))


async def _first_of(driver: asyncio.Task[Ending], tickers: list[asyncio.Task[None]]) -> Ending:
    """The driver's result, or the error of a ticker that failed before it; nothing is left over."""
    try:
        await asyncio.wait([driver, *tickers], return_when=asyncio.FIRST_COMPLETED)
        if not driver.done():
            await next(ticker for ticker in tickers if ticker.done())
        return driver.result()
    finally:
        for task in (driver, *tickers):
            task.cancel()
        await asyncio.gather(driver, *tickers, return_exceptions=True)

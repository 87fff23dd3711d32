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
from typing import Any, Literal

from so8t_core import __version__
from so8t_core.contract.control import ControlStore
from so8t_core.contract.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_PAUSED,
    InputMissing,
    ResourceError,
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
from so8t_core.engine.steering import Ending, Steering
from so8t_core.engine.tickers import Tickers


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
        self._book: Book
        self._steering: Steering
        self._attempts: Attempts

    async def run(self) -> int:
        """Take the lock, drive the phases, say goodbye. Raises `RunBusy` and `StoreError`."""
        self._lock.acquire()
        try:
            end_leftovers(self._run)
            with (
                Book(self._run, self._observers) as self._book,
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
        self._greet()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._steering.on_signal)
        tickers = Tickers(self._run, self._settings.engine, self._book, self._steering)
        self._attempts = Attempts(
            self._run, self._book, self._steering, tickers, self._phases_package
        )
        ending = await _first_of(asyncio.create_task(self._drive_all()), tickers.start())
        if ending == "stopped":
            code, reason = EXIT_PAUSED, "stopped; resume it whenever you like"
        else:
            await self._finish(ending)
            code, reason = (EXIT_FAILED if ending == "failed" else EXIT_DONE), ending
        self._book.tell(Draft("engine_stopped", {"exit_code": code, "reason": reason}))
        return code

    def _greet(self) -> None:
        interrupted = [
            Draft(
                "phase_interrupted",
                {
                    "reason": "its engine ended before it did; it goes on from what is saved",
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
        }
        self._book.tell(*interrupted, Draft("engine_started", facts))

    async def _finish(self, ending: Ending) -> None:
        failed = [name for name, view in self._book.state.phases.items() if view.state == "failed"]
        outcome: Literal["done", "failed"] = "failed" if ending == "failed" else "done"
        message = f"{', '.join(failed)} failed" if failed else "all phases are done"
        if self._only and not failed:
            message = f"{', '.join(self._only)} done"
        self._book.tell(Draft("run_finished", {"outcome": outcome, "message": message}))
        lines = await notify(outcome, self._run, self._settings.notify, message)
        self._book.tell(Draft("notified", {"lines": lines}))

    def _specs(self) -> list[PhaseSpec]:
        return [spec for spec in PHASES if not self._only or spec.name in self._only]

    async def _drive_all(self) -> Ending:
        for name in self._steering.unserved_retries():
            forget(self._run, name)
        self._steering.note(self._steering.control)
        decisions = await asyncio.to_thread(preview, self._run, self._settings, self._specs())
        self._book.tell(Draft("plan_made", {"decisions": decisions}))
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

    async def _settle(self, spec: PhaseSpec) -> Ending:
        decision = await asyncio.to_thread(decide, self._run, self._settings, spec)
        view = self._book.state.phases[spec.name]
        if decision.action == "skip":
            self._book.tell(Draft("phase_skipped", {"reason": decision.reason}, spec.name))
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
        if not self._only:
            reason = f"it needs the result of {', '.join(states)}"
            self._book.tell(Draft("phase_skipped", {"reason": reason}, spec.name))
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
            ending, error = await self._attempts.make(spec.name, number)
            if error is None:
                return ending
            last = number == engine.max_attempts or not error["retryable"]
            wait = None if last else engine.retry_delay_s * engine.retry_backoff ** (number - 1)
            self._fail(spec, number, error, wait)
            if wait is None:
                return "failed"
            if await self._steering.wait_for_retry(spec.name, wait) == "stopped":
                return "stopped"
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

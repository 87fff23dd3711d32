"""A watcher's view of a run: the folded journal, and whether an engine lives."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from so8t_core.contract.control import read_control
from so8t_core.contract.errors import JournalError
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.lock import Liveness, engine_liveness
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.publication import Publication, read_publication
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.snapshot import read_snapshot
from so8t_core.contract.state import PhaseView, RunState, Status, fold

_MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What folding raises where a payload is not what its kind promises."""

SeenStatus = Literal[Status, "crashed"]


@dataclass(frozen=True)
class Seen:
    """What a watcher knows at one moment."""

    state: RunState
    liveness: Liveness
    publication: Publication | None = None

    @property
    def status(self) -> SeenStatus:
        """The run's state, or `crashed`: its engine is gone without a word."""
        engine = self.state.engine
        if engine is not None and not engine.stopped and not self.liveness.alive:
            return "crashed"
        return self.state.state


class Watch:
    """Follows one run. Reads in slices, so that a long journal never blocks its caller."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._reader = JournalReader(run.journal)
        self.state = self._restored() or RunState()

    def _restored(self) -> RunState | None:
        """The state of the run's snapshot, where the journal goes on from there."""
        state = read_snapshot(self.run)
        if state is None or state.last_seq < 1:
            return None
        newest = self._reader.after(state.last_seq - 1, 1)
        if newest and (newest[0].seq, newest[0].ts) == (state.last_seq, state.last_ts):
            return state
        return None

    def newest(self) -> int:
        """The number of the journal's newest event, folded or not."""
        return self._reader.newest()

    def advance(self, limit: int = 2000) -> int:
        """Fold at most `limit` new events; returns how many there were."""
        events = self._reader.after(self.state.last_seq, limit)
        state = self.state
        for event in events:
            try:
                state = fold(state, event)
            except _MALFORMED as error:
                raise JournalError(
                    f"Event {event.seq} of the journal is malformed.",
                    where=str(self.run.journal),
                    hint="Was it written by another version? The run itself can still be resumed.",
                ) from error
        self.state = state
        return len(events)

    def catch_up(self) -> RunState:
        """Fold everything that the journal holds now."""
        while self.advance(10_000):
            pass
        return self.state

    def seen(self) -> Seen:
        """The state as folded so far, with what lives now. Raises `StoreError`."""
        return Seen(self.state, engine_liveness(self.run), read_publication(self.run))

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()


def _phase_status(view: PhaseView, *, crashed: bool, now: float) -> dict[str, Any]:
    state = view.state
    if crashed and state in {"running", "pausing"}:
        state = "pending"
    return {
        "state": state,
        "reason": view.reason,
        "attempt": view.attempt,
        "done": view.done,
        "total": view.total,
        "unit": view.unit,
        "active_s": round(view.active_until(now), 3),
        "eta_s": view.eta_s,
        "error": view.error,
        "fallbacks": dict(view.fallbacks),
        "figures": dict(view.figures),
        "digest": view.digest,
        "checkpoints": len(view.checkpoints),
        "last": {name: series.last for name, series in view.series.items()},
    }


def _shown(told: Publication) -> dict[str, Any]:
    """A publication without what tells only whether its process lives."""
    return {name: v for name, v in asdict(told).items() if name not in ("pid", "boot_id")}


def status_document(run: RunDir) -> dict[str, Any]:
    """What `so8t status --json` prints. Writes nothing. Raises `StoreError`."""
    watch = Watch(run)
    try:
        state = watch.catch_up()
        seen = watch.seen()
    finally:
        watch.close()
    told = seen.publication
    control = read_control(run.control)
    crashed = seen.status == "crashed"
    now = time.time() if seen.liveness.alive else state.last_ts
    return {
        "run": run.name,
        "path": str(run.root),
        "state": seen.status,
        "message": state.message,
        "current": state.current,
        "engine": {
            "alive": seen.liveness.alive,
            "pid": seen.liveness.pid,
            "hung": seen.liveness.hung,
            "heartbeat_age_s": seen.liveness.heartbeat_age_s,
        },
        "control": {
            "revision": control.revision,
            "desired": control.desired,
            "mode": control.mode,
            "who": control.who,
        },
        "phases": {
            name: _phase_status(state.phases[name], crashed=crashed, now=now)
            for name in PHASE_NAMES
        },
        "ollama": None if told is None else _shown(told),
        "events": state.last_seq,
        "settings_sha256": state.settings_sha256,
    }

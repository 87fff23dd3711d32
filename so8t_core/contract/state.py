"""The state of a run as a pure fold of its events.

The interface, `so8t status --json` and the report all call `fold`, so they cannot disagree.
It is longer than most modules because every kind of event has its few lines here, in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from so8t_core.contract.events import Event
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.series import Series

Status = Literal["pending", "running", "pausing", "paused", "done", "skipped", "failed"]

KEPT_ITEMS = 50
KEPT_LOG_LINES = 1000


@dataclass(frozen=True)
class LogLine:
    """One line of the log, as journaled."""

    seq: int
    ts: float
    phase: PhaseName | None
    level: str
    message: str


@dataclass(frozen=True)
class Item:
    """A recent thing that a phase showed: a page, a sample."""

    ts: float
    kind: str
    text: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is durable on disk. `path` is relative to the phase's folder."""

    step: int
    path: str
    reason: str
    size_bytes: int
    ts: float


@dataclass(frozen=True)
class PhaseView:
    """One phase, as far as the journal tells.

    `active_s` is time spent running up to `running_since` (pauses and waits excluded); a running
    phase adds the time since. `rate` is progress a second over the recent past, in `unit`.
    """

    name: PhaseName
    state: Status = "pending"
    reason: str = ""
    attempt: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    active_s: float = 0.0
    running_since: float | None = None
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    message: str = ""
    rate: float | None = None
    progress_ts: float | None = None
    course: Series = field(default_factory=Series)
    """Progress over time: Unix time and what was done by then."""
    retry_at: float | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at the recent rate; None where that is unknown."""
        if self.state != "running" or not self.rate or self.total is None:
            return None
        return max(0.0, self.total - self.done) / self.rate

    def active_until(self, now: float) -> float:
        """Seconds of activity up to `now` (Unix time)."""
        since = self.running_since
        return self.active_s + (max(0.0, now - since) if since is not None else 0.0)


@dataclass(frozen=True)
class EngineView:
    """The engine that last opened the journal; `stopped` once it said goodbye.

    `only`: the phases that it was started for; empty for all.
    """

    pid: int
    boot_id: str
    host: str
    version: str
    started_at: float
    only: tuple[str, ...] = ()
    stopped: bool = False
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class RunState:
    """Everything that a watcher shows of a run."""

    state: Status = "pending"
    message: str = ""
    engine: EngineView | None = None
    phases: Mapping[PhaseName, PhaseView] = field(
        default_factory=lambda: {name: PhaseView(name) for name in PHASE_NAMES}
    )
    current: PhaseName | None = None
    pause_mode: str = ""
    control_revision: int = 0
    acted: Mapping[str, int] = field(default_factory=dict)
    """Counters of retry and skip requests that the engine has acted on, by `kind:phase`."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    resource_series: Mapping[str, Series] = field(default_factory=dict)
    log: tuple[LogLine, ...] = ()
    milestones: tuple[PhaseName, ...] = ()
    """Phases at whose end the user wished to be told, in the order of their ends."""
    created_at: float | None = None
    finished_at: float | None = None
    settings_sha256: str = ""
    last_seq: int = 0
    last_ts: float = 0.0


Value = TypeVar("Value")


def _changed(value: Value, /, **changes: Any) -> Value:
    """`dataclasses.replace`, ten times as fast: a long journal spends its time here."""
    fresh: Value = object.__new__(type(value))
    fresh.__dict__.update(value.__dict__)
    fresh.__dict__.update(changes)
    return fresh


def _with_phase(state: RunState, event: Event, /, **changes: Any) -> RunState:
    if event.phase is None:
        return state
    view = _changed(state.phases[event.phase], **changes)
    return _changed(state, phases={**state.phases, event.phase: view})


def _phase(state: RunState, event: Event) -> PhaseView:
    assert event.phase is not None
    return state.phases[event.phase]


def _halted(view: PhaseView, ts: float) -> dict[str, Any]:
    return {"active_s": view.active_until(ts), "running_since": None, "rate": None}


def _run_created(state: RunState, event: Event) -> RunState:
    return _changed(
        state, created_at=event.ts, settings_sha256=event.payload.get("settings_sha256", "")
    )


def _engine_started(state: RunState, event: Event) -> RunState:
    payload = event.payload
    engine = EngineView(
        pid=payload["pid"],
        boot_id=payload["boot_id"],
        host=payload["host"],
        version=payload["version"],
        started_at=event.ts,
        only=tuple(payload.get("only", ())),  # journals until 2026-11 lack it
    )
    return _changed(
        state, engine=engine, state="running", message="", finished_at=None, pause_mode=""
    )


def _engine_stopped(state: RunState, event: Event) -> RunState:
    if state.engine is None:
        return state
    engine = _changed(
        state.engine,
        stopped=True,
        exit_code=event.payload["exit_code"],
        reason=event.payload["reason"],
    )
    run_state: Status = state.state if state.state in {"done", "failed"} else "paused"
    return _changed(state, engine=engine, state=run_state)


def _run_finished(state: RunState, event: Event) -> RunState:
    outcome: Status = "done" if event.payload["outcome"] == "done" else "failed"
    return _changed(
        state,
        state=outcome,
        message=event.payload.get("message", ""),
        current=None,
        finished_at=event.ts,
    )


def _milestone(state: RunState, event: Event) -> RunState:
    assert event.phase is not None
    return _changed(state, milestones=(*state.milestones, event.phase))


def _control_seen(state: RunState, event: Event) -> RunState:
    return _changed(
        state,
        control_revision=event.payload["revision"],
        acted={**state.acted, **event.payload.get("acted", {})},
    )


def _pause_requested(state: RunState, event: Event) -> RunState:
    state = _changed(state, state="pausing", pause_mode=event.payload["mode"])
    if event.phase is not None and _phase(state, event).state == "running":
        return _with_phase(state, event, state="pausing")
    return state


def _paused(state: RunState, event: Event) -> RunState:
    state = _changed(state, state="paused", pause_mode=event.payload["mode"])
    if event.phase is None:
        return state
    return _with_phase(state, event, state="paused", **_halted(_phase(state, event), event.ts))


def _resumed(state: RunState, event: Event) -> RunState:
    state = _changed(state, state="running", pause_mode="")
    if event.phase is not None and _phase(state, event).state in {"paused", "pausing"}:
        return _with_phase(state, event, state="running", running_since=event.ts)
    return state


def _phase_pending(state: RunState, event: Event) -> RunState:
    fresh = PhaseView(_phase(state, event).name, reason=event.payload.get("reason", ""))
    return _changed(state, phases={**state.phases, fresh.name: fresh})


def _phase_started(state: RunState, event: Event) -> RunState:
    view = _phase(state, event)
    state = _changed(state, current=event.phase)
    return _with_phase(
        state,
        event,
        state="running",
        attempt=event.payload["attempt"],
        started_at=view.started_at or event.ts,
        running_since=event.ts,
        finished_at=None,
        error=None,
        retry_at=None,
        reason="",
        progress_ts=None,
        rate=None,
    )


def _phase_done(state: RunState, event: Event) -> RunState:
    payload = event.payload
    view = _phase(state, event)
    changes = _halted(view, event.ts)
    if "active_s" in payload:
        changes["active_s"] = float(payload["active_s"])
    return _with_phase(
        state,
        event,
        state="done",
        finished_at=event.ts,
        figures=payload.get("figures", {}),
        digest=payload.get("digest", ""),
        reason=payload.get("reason", ""),
        error=None,
        total=view.done if view.unit else view.total,
        **changes,
    )


def _phase_skipped(state: RunState, event: Event) -> RunState:
    view = _phase(state, event)
    return _with_phase(
        state, event, state="skipped", reason=event.payload["reason"], **_halted(view, event.ts)
    )


def _phase_failed(state: RunState, event: Event) -> RunState:
    payload = event.payload
    wait = payload.get("retry_in_s")
    return _with_phase(
        state,
        event,
        state="failed" if wait is None else "pending",
        error=payload["error"],
        reason=payload["error"].get("what", ""),
        retry_at=None if wait is None else event.ts + wait,
        **_halted(_phase(state, event), event.ts),
    )


def _phase_interrupted(state: RunState, event: Event) -> RunState:
    return _with_phase(
        state,
        event,
        state="pending",
        reason=event.payload["reason"],
        **_halted(_phase(state, event), event.payload["at"]),
    )


def _progress(state: RunState, event: Event) -> RunState:
    payload = event.payload
    view = _phase(state, event)
    done, total = payload["done"], payload["total"]
    if total is not None:
        float(total)  # raises where it is no number, or none that can be reckoned with
    same = payload["unit"] == view.unit  # as what was counted before
    rate = view.rate if same else None
    if same and view.progress_ts is not None and event.ts > view.progress_ts and done >= view.done:
        latest = (done - view.done) / (event.ts - view.progress_ts)
        weight = min(1.0, (event.ts - view.progress_ts) / 5.0)
        rate = latest if rate is None else rate + weight * (latest - rate)
    return _with_phase(
        state,
        event,
        done=done,
        total=total,
        unit=payload["unit"],
        message=payload["message"],
        rate=rate,
        progress_ts=event.ts,
        course=view.course.append(event.ts, done),
    )


def _stats(state: RunState, event: Event) -> RunState:
    view = _phase(state, event)
    return _with_phase(state, event, stats={**view.stats, **event.payload["values"]})


def _metrics(state: RunState, event: Event) -> RunState:
    series = dict(_phase(state, event).series)
    for name, step, value in event.payload["points"]:
        series[name] = series.get(name, Series()).append(step, value)
    return _with_phase(state, event, series=series)


def _rewound(state: RunState, event: Event) -> RunState:
    step = event.payload["step"]
    view = _phase(state, event)
    return _with_phase(
        state,
        event,
        series={name: series.until(step) for name, series in view.series.items()},
        checkpoints=tuple(c for c in view.checkpoints if c.step <= step),
        progress_ts=None,
        rate=None,
    )


def _item(state: RunState, event: Event) -> RunState:
    payload = dict(event.payload)
    item = Item(event.ts, payload.pop("item"), payload.pop("text"), payload)
    view = _phase(state, event)
    return _with_phase(state, event, items=(*view.items[-KEPT_ITEMS + 1 :], item))


def _log(state: RunState, event: Event) -> RunState:
    line = LogLine(
        event.seq, event.ts, event.phase, event.payload["level"], event.payload["message"]
    )
    return _changed(state, log=(*state.log[-KEPT_LOG_LINES + 1 :], line))


def _fallback(state: RunState, event: Event) -> RunState:
    view = _phase(state, event)
    key = f"{event.payload['what']}: {event.payload['why']}"
    return _with_phase(
        state, event, fallbacks={**view.fallbacks, key: view.fallbacks.get(key, 0) + 1}
    )


def _checkpoint(state: RunState, event: Event) -> RunState:
    payload = event.payload
    made = Checkpoint(
        payload["step"], payload["path"], payload["reason"], payload["size_bytes"], event.ts
    )
    view = _phase(state, event)
    kept = tuple(c for c in view.checkpoints if c.path != made.path)
    return _with_phase(state, event, checkpoints=(*kept, made))


def _resources(state: RunState, event: Event) -> RunState:
    values = event.payload["values"]
    series = dict(state.resource_series)
    for name, value in values.items():
        if isinstance(value, int | float):
            series[name] = series.get(name, Series()).append(event.ts, value)
    return _changed(state, resources=values, resource_series=series)


_HANDLERS: dict[str, Callable[[RunState, Event], RunState]] = {
    "run_created": _run_created,
    "engine_started": _engine_started,
    "engine_stopped": _engine_stopped,
    "run_finished": _run_finished,
    "milestone": _milestone,
    "control_seen": _control_seen,
    "pause_requested": _pause_requested,
    "paused": _paused,
    "resumed": _resumed,
    "phase_pending": _phase_pending,
    "phase_started": _phase_started,
    "phase_done": _phase_done,
    "phase_skipped": _phase_skipped,
    "phase_failed": _phase_failed,
    "phase_interrupted": _phase_interrupted,
    "progress": _progress,
    "stats": _stats,
    "metrics": _metrics,
    "rewound": _rewound,
    "item": _item,
    "log": _log,
    "fallback": _fallback,
    "checkpoint": _checkpoint,
    "resources": _resources,
}


def fold(state: RunState, event: Event) -> RunState:
    """The state after one more event. Pure; kinds that change nothing only move `last_seq`."""
    handler = _HANDLERS.get(event.kind)
    if handler is not None:
        state = handler(state, event)
    return _changed(state, last_seq=event.seq, last_ts=event.ts)


def fold_all(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after all the events."""
    state = state or RunState()
    for event in events:
        state = fold(state, event)
    return state

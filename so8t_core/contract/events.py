"""The events of a run: what the journal holds and `state.fold` understands.

Payloads are JSON objects. Kinds and their payload keys:

run
    run_created           settings_sha256, version
    engine_started        pid, boot_id, host, version, only (the phases asked for; empty: all)
    engine_stopped        exit_code, reason
    plan_made             decisions: {phase: {action, reason}}
    run_finished          outcome ("done" | "failed"), message
    notified              lines
    milestone             phase is set: one whose end is to be told is done
control
    control_seen          revision, who              what somebody asked for, as the engine saw it:
                            desired, mode, live      a new wish; or
                            acted                    counters of requests served, by "kind:phase"
    pause_requested       mode, who
    quiescing             mode
    paused                mode
    resumed               who
phase (the event's `phase` is set)
    phase_pending         reason                     it will run (again)
    phase_started         attempt, pid
    phase_done            figures, digest, active_s
    phase_skipped         reason
    phase_failed          attempt, error, retry_in_s (None: no further try)
    phase_interrupted     reason, at                 its process is gone since `at`; it will go on
    progress              done, total, unit, message
    stats                 values
    metrics               points: [[name, step, value], ...]
    item                  item, text, ...
    log                   level, message
    fallback              what, why
    checkpoint            step, path, reason, size_bytes
    rewound               step
    resources             values
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from so8t_core.contract.phases import PhaseName

DURABLE_KINDS: frozenset[str] = frozenset(
    {
        "run_created",
        "engine_started",
        "engine_stopped",
        "plan_made",
        "run_finished",
        "pause_requested",
        "paused",
        "resumed",
        "phase_pending",
        "phase_started",
        "phase_done",
        "phase_skipped",
        "phase_failed",
        "phase_interrupted",
        "checkpoint",
        "rewound",
    }
)
"""Kinds that are synced to disk before anybody is told of them."""


@dataclass(frozen=True)
class Draft:
    """An event that the journal has not numbered yet."""

    kind: str
    payload: Mapping[str, Any]
    phase: PhaseName | None = None


@dataclass(frozen=True)
class Event:
    """One line of the journal. `seq` counts from 1 without gaps; `ts` is Unix time in seconds."""

    seq: int
    ts: float
    phase: PhaseName | None
    kind: str
    payload: Mapping[str, Any]

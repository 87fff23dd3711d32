"""Progress as plain lines, for terminals without cursor control, pipes and logs.

One line for each event worth a line: phases as they start and end, progress and losses at most
every two seconds, checkpoints, pauses, fallbacks, warnings. The lines are made from the same fold
as the screens, so they cannot disagree with them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from so8t_core.contract.events import Event
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.lock import engine_liveness
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.state import PhaseView, RunState, fold
from so8t_core.contract.watch import SeenStatus
from so8t_tui.amounts import clock_time, duration, number, rate, share_of, size
from so8t_tui.locale import Words
from so8t_tui.plot import tick
from so8t_tui.standing import LOOKS, Standing
from so8t_tui.text import outside

PROGRESS_EVERY_S = 2.0
POLL_S = 0.2
ENGINE_PATIENCE_S = 20.0
_SHOWN_LEVELS = frozenset({"warning", "error"})
_SGR: Mapping[str, str] = {"$good": "32", "$bad": "31", "$caution": "33", "$running": "36"}


class Narrator:
    """Turns events into lines. Feed it every event in order, with the state after it."""

    def __init__(self, words: Words | None = None, *, colour: bool = False) -> None:
        self._words = words or Words()
        self._colour = colour
        self._progress_ts = 0.0

    def tell(self, event: Event, state: RunState) -> list[str]:
        """The lines for an event; most events have none."""
        text = self._wording(event, state)
        if text is None:
            return []
        clock = clock_time(event.ts)
        phase = self._words(event.phase) if event.phase else ""
        return [f"{clock} {phase:<9} {line}".rstrip() for line in text]

    def _wording(self, event: Event, state: RunState) -> list[str] | None:
        teller = _TELLERS.get(event.kind)
        if teller is not None:
            return teller(self, event, state)
        return None

    def _word(self, standing: Standing) -> str:
        look = LOOKS[standing]
        word = f"{look.glyph} {self._words(look.word)}"
        code = _SGR.get(look.style) if self._colour else None
        return f"\x1b[{code}m{word}\x1b[0m" if code else word

    def _view(self, event: Event, state: RunState) -> PhaseView:
        assert event.phase is not None
        return state.phases[event.phase]

    def _engine_started(self, event: Event, _state: RunState) -> list[str]:
        return [self._words("engine {pid}", pid=event.payload["pid"])]

    def _pending(self, event: Event, _state: RunState) -> list[str]:
        return [f"{self._word('pending')} {outside(event.payload['reason'])}"]

    def _started(self, event: Event, _state: RunState) -> list[str]:
        self._progress_ts = event.ts
        attempt = event.payload["attempt"]
        again = f" ({self._words('try {number}', number=attempt)})" if attempt > 1 else ""
        return [self._word("running") + again]

    def _done(self, event: Event, state: RunState) -> list[str]:
        return [f"{self._word('done')} {self._view(event, state).active_s:.1f} s"]

    def _skipped(self, event: Event, _state: RunState) -> list[str]:
        return [f"{self._word('skipped')} {outside(event.payload['reason'])}"]

    def _failed(self, event: Event, state: RunState) -> list[str]:
        error = event.payload["error"]
        seconds = f"{self._view(event, state).active_s:.1f} s"
        lines = [f"{self._word('failed')} {seconds}: {outside(error.get('what', ''))}"]
        if error.get("where"):
            lines.append(f"  {self._words('where: {place}', place=outside(error['where']))}")
        if error.get("hint"):
            lines.append(f"  {self._words('next: {hint}', hint=outside(error['hint']))}")
        wait = event.payload.get("retry_in_s")
        if wait is not None:
            again = event.payload["attempt"] + 1
            lines.append(
                "  " + self._words("try {number} in {time}", number=again, time=duration(wait))
            )
        return lines

    def _interrupted(self, event: Event, _state: RunState) -> list[str]:
        return [f"{self._word('interrupted')} {outside(event.payload['reason'])}"]

    def _progress(self, event: Event, state: RunState) -> list[str] | None:
        if event.ts - self._progress_ts < PROGRESS_EVERY_S:
            return None
        self._progress_ts = event.ts
        view = self._view(event, state)
        unit = self._words(outside(view.unit, 20))
        of = f"/{number(view.total)}" if view.total is not None else ""
        parts = [f"{number(view.done)}{of} {unit}"]
        share = share_of(view.done, view.total) if view.total else None
        if share is not None:
            parts.append(f"{share:.0%}")
        if view.rate:
            parts.append(rate(view.rate, unit))
        if view.eta_s is not None:
            parts.append(self._words("{time} left", time=duration(view.eta_s)))
        for name in ("loss", "eval_loss"):
            last = view.series[name].last if name in view.series else None
            if last is not None:
                parts.append(f"{name} {tick(last)}")
        if view.message:
            parts.append(outside(view.message, 120))
        return ["  " + "  ".join(parts)]

    def _checkpoint(self, event: Event, _state: RunState) -> list[str]:
        payload = event.payload
        return [
            "  "
            + self._words(
                "checkpoint at step {step}, {size}, {reason}",
                step=number(payload["step"]),
                size=size(payload["size_bytes"]),
                reason=outside(payload["reason"], 80),
            )
        ]

    def _rewound(self, event: Event, _state: RunState) -> list[str]:
        return ["  " + self._words("goes on after step {step}", step=event.payload["step"])]

    def _fallback(self, event: Event, _state: RunState) -> list[str]:
        payload = event.payload
        return [f"  ! {outside(payload['what'], 120)}: {outside(payload['why'], 200)}"]

    def _log(self, event: Event, _state: RunState) -> list[str] | None:
        level = event.payload["level"]
        if level not in _SHOWN_LEVELS:
            return None
        return [f"  {self._words(level)}: {outside(event.payload['message'])}"]

    def _pause_requested(self, event: Event, _state: RunState) -> list[str]:
        return [f"{self._word('pausing')} ({event.payload['mode']})"]

    def _paused(self, event: Event, _state: RunState) -> list[str]:
        return [f"{self._word('paused')} ({event.payload['mode']})"]

    def _resumed(self, _event: Event, _state: RunState) -> list[str]:
        return [self._word("running")]

    def _run_finished(self, event: Event, state: RunState) -> list[str]:
        total = sum(view.active_s for view in state.phases.values())
        standing: Standing = "done" if event.payload["outcome"] == "done" else "failed"
        message = outside(event.payload.get("message", ""))
        return [f"{self._word(standing)} {duration(total)} {message}".rstrip()]

    def _engine_stopped(self, event: Event, _state: RunState) -> list[str]:
        reason = outside(event.payload["reason"], 200)
        return [self._words("engine ended: {reason}", reason=reason)]


_Teller = Callable[[Narrator, Event, RunState], list[str] | None]
_TELLERS: Mapping[str, _Teller] = {
    "engine_started": Narrator._engine_started,
    "engine_stopped": Narrator._engine_stopped,
    "run_finished": Narrator._run_finished,
    "pause_requested": Narrator._pause_requested,
    "paused": Narrator._paused,
    "resumed": Narrator._resumed,
    "phase_pending": Narrator._pending,
    "phase_started": Narrator._started,
    "phase_done": Narrator._done,
    "phase_skipped": Narrator._skipped,
    "phase_failed": Narrator._failed,
    "phase_interrupted": Narrator._interrupted,
    "progress": Narrator._progress,
    "checkpoint": Narrator._checkpoint,
    "rewound": Narrator._rewound,
    "fallback": Narrator._fallback,
    "log": Narrator._log,
}


def wants_colour(out: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether lines may carry colour: a terminal that is not dumb, and no NO_COLOR."""
    dumb = environment.get("TERM", "") in {"", "dumb"}
    return out.isatty() and not dumb and not environment.get("NO_COLOR")


def follow(
    run: RunDir,
    out: TextIO,
    *,
    words: Words | None = None,
    after_seq: int = 0,
    engine_alive: Callable[[], bool] | None = None,
    patience_s: float = ENGINE_PATIENCE_S,
) -> SeenStatus:
    """Write a line for each noteworthy event until the engine is gone; returns how the run stands.

    Events up to `after_seq` are folded in silence (`-1`: all that are there now). `engine_alive`
    replaces the look at the lock, which the process that holds it must not take: asked after every
    read, it ends the watch once it is False and nothing is left to read. Without it, the watch
    waits up to `patience_s` for an engine to appear. Raises `JournalError`.
    """
    narrator = Narrator(words, colour=wants_colour(out, os.environ))
    state = RunState()
    began = time.monotonic()
    appeared = engine_alive is not None
    with JournalReader(run.journal) as reader:
        while True:
            alive = engine_alive() if engine_alive is not None else engine_liveness(run).alive
            appeared = appeared or alive
            came = False
            while events := reader.after(state.last_seq):
                came = True
                for event in events:
                    state = fold(state, event)
                    if event.seq > after_seq >= 0:
                        for line in narrator.tell(event, state):
                            out.write(line + "\n")
            out.flush()
            after_seq = max(after_seq, 0)
            waited = appeared or time.monotonic() - began >= patience_s
            if not alive and not came and waited:
                return _status(state)
            time.sleep(POLL_S)


def _status(state: RunState) -> SeenStatus:
    """As `Seen.status` for an engine that is gone."""
    engine = state.engine
    return "crashed" if engine is not None and not engine.stopped else state.state

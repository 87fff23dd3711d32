"""What a screen remarks on a run that needs attention: what happened, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t_core.contract.errors import So8tError
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.watch import Seen
from so8t_tui.amounts import duration
from so8t_tui.client import RunClient
from so8t_tui.locale import Words
from so8t_tui.text import outside
from so8t_tui.widgets.notice import Remark

_LINE_LIMIT = 300


def remark_on(client: RunClient, words: Words) -> Remark | None:
    """The most important thing to say about the run; None when all is well."""
    if client.problem is not None:
        return Remark("bad", told(client.problem, words))
    seen = client.seen
    if seen is None or client.starting:
        return None
    if client.start_failed:
        return Remark(
            "bad",
            (
                words("The engine was started and did not appear."),
                words("next: read {path}", path=client.run.logs / "engine.log"),
            ),
        )
    if seen.status == "crashed":
        return Remark(
            "bad",
            (
                words("The engine is gone without a word. What reached the disk is kept."),
                words("next: press r to resume from there"),
            ),
        )
    if seen.liveness.hung:
        return Remark(
            "caution",
            (
                words(
                    "The engine holds the run but has given no sign of life for {age} s.",
                    age=round(seen.liveness.heartbeat_age_s or 0),
                ),
                words("next: wait, or end process {pid} and resume", pid=seen.liveness.pid),
            ),
        )
    if seen.status == "failed":
        return _failure(seen, words)
    if seen.status == "done":
        return _end(seen, words)
    if seen.status == "paused":
        return _pause(seen, words)
    if seen.status == "pending" and not seen.liveness.alive:
        return Remark("caution", (words("This run has not been started. Press r to start it."),))
    return None


def told(error: So8tError, words: Words) -> tuple[str, ...]:
    """An error's lines: what went wrong, where, and what to do next."""
    lines = [outside(error.what, _LINE_LIMIT)]
    if error.where:
        lines.append(words("where: {place}", place=outside(error.where, _LINE_LIMIT)))
    if error.hint:
        lines.append(words("next: {hint}", hint=outside(error.hint, _LINE_LIMIT)))
    return tuple(lines)


def _failure(seen: Seen, words: Words) -> Remark:
    for name in PHASE_NAMES:
        error = seen.state.phases[name].error
        if seen.state.phases[name].state == "failed" and error is not None:
            return Remark("bad", _told(words(name), error, words))
    message = seen.state.message or words("The run has failed.")
    return Remark("bad", (message, words("next: press r to try again")))


def _told(phase: str, error: Mapping[str, Any], words: Words) -> tuple[str, ...]:
    lines = [f"{phase}: {error.get('what', '')}"]
    if error.get("where"):
        lines.append(words("where: {place}", place=error["where"]))
    if error.get("hint"):
        lines.append(words("next: {hint}", hint=error["hint"]))
    lines.append(words("then press r to try again"))
    return tuple(lines)


def _end(seen: Seen, words: Words) -> Remark:
    total = sum(view.active_s for view in seen.state.phases.values())
    return Remark("good", (words("Done in {time}. Press 7 for the report.", time=duration(total)),))


def _pause(seen: Seen, words: Words) -> Remark:
    reason = seen.state.engine.reason if seen.state.engine is not None else ""
    if seen.liveness.alive and seen.state.pause_mode == "soft":
        text = words("Paused; the process keeps its memory. Press space to go on.")
    elif seen.liveness.alive:
        text = words("Paused; work is saved and memory is freed. Press space to go on.")
    else:
        text = words("Paused; work is saved and no engine runs. Press space to go on.")
    return Remark("caution", (text, reason) if reason and not seen.liveness.alive else (text,))

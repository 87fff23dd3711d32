"""What the first line says of a run."""

from __future__ import annotations

import time

from so8t_core.contract.watch import Seen
from so8t_tui.amounts import duration
from so8t_tui.client import RunClient
from so8t_tui.locale import Words
from so8t_tui.text import outside
from so8t_tui.widgets.titlebar import Heading

_NAME_LIMIT = 80
_ASKED = {"running": "resume asked", "paused": "pause asked", "stopped": "stop asked"}


def heading_of(client: RunClient, words: Words, *, read_only: bool = False) -> Heading:
    """Name, state, what was asked, time worked and engine; while reading, only that."""
    name, seen = outside(client.run.name, _NAME_LIMIT), client.seen
    if client.reading:
        return Heading(name, None, (words("reading the journal"),))
    if seen is None:
        return Heading(name)
    driver = (
        words("engine {pid}", pid=seen.liveness.pid) if seen.liveness.alive else words("no engine")
    )
    looking = words("read-only") if read_only else ""
    notes = (_wish(client, seen, words), looking, _worked(seen), driver)
    return Heading(name, client.standing, tuple(note for note in notes if note))


def _wish(client: RunClient, seen: Seen, words: Words) -> str:
    """What was asked for and the engine has not acknowledged yet."""
    if not seen.liveness.alive or client.control.revision <= seen.state.control_revision:
        return ""
    return words(_ASKED[client.control.desired])


def _worked(seen: Seen) -> str:
    until = time.time() if seen.liveness.alive else seen.state.last_ts
    total = sum(view.active_until(until) for view in seen.state.phases.values())
    return duration(total) if seen.state.engine is not None else ""

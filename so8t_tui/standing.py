"""How things stand, as shown: each state has a glyph, a word and a colour, distinct in all three.

Glyphs are of neutral width in Unicode, so that terminals with wide East Asian symbols keep columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from so8t_core.contract.state import PhaseView
from so8t_core.contract.watch import Seen, SeenStatus

Standing = Literal[
    "pending",
    "starting",
    "running",
    "pausing",
    "paused",
    "waiting",
    "done",
    "skipped",
    "failed",
    "interrupted",
    "crashed",
    "silent",
]


@dataclass(frozen=True)
class Look:
    """Glyph, word (a key of the catalogues) and style of a state."""

    glyph: str
    word: str
    style: str


LOOKS: dict[Standing, Look] = {
    "pending": Look("◦", "pending", "$faint"),
    "starting": Look("▹", "starting", "$running"),
    "running": Look("▸", "running", "$running"),
    "pausing": Look("▿", "pausing", "$caution"),
    "paused": Look("ǁ", "paused", "$caution"),
    "waiting": Look("↻", "retrying", "$caution"),
    "done": Look("✓", "done", "$good"),
    "skipped": Look("»", "skipped", "$faint"),
    "failed": Look("✗", "failed", "$bad"),
    "interrupted": Look("!", "cut off", "$bad"),
    "crashed": Look("✘", "crashed", "$bad"),
    "silent": Look("?", "silent", "$caution"),
}

_STANDING_OF: dict[SeenStatus, Standing] = {
    "pending": "pending",
    "running": "running",
    "pausing": "pausing",
    "paused": "paused",
    "done": "done",
    "skipped": "skipped",
    "failed": "failed",
    "crashed": "crashed",
}


def run_standing(seen: Seen) -> Standing:
    """The run's state; an engine that holds its lock without a heartbeat is `silent`."""
    if seen.liveness.hung:
        return "silent"
    return _STANDING_OF[seen.status]


def phase_standing(view: PhaseView, seen: Seen) -> Standing:
    """A phase's state; what was running when its engine died is `interrupted`."""
    if seen.status == "crashed" and view.state in {"running", "pausing"}:
        return "interrupted"
    if view.state == "pending" and view.retry_at is not None:
        return "waiting" if seen.liveness.alive else "interrupted"
    return _STANDING_OF[view.state]


def going(seen: Seen) -> bool:
    """Whether an engine lives and works, so that clocks tick."""
    return seen.liveness.alive and seen.status in {"running", "pausing"}


def resumable(seen: Seen) -> bool:
    """Whether there is work left that a new engine would take up."""
    return not seen.liveness.alive and seen.status != "done"

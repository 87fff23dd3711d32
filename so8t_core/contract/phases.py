"""The eight phases: their names, order, needs, and the settings each depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PhaseName = Literal[
    "crawl", "cleanse", "verify", "integrate", "train", "evaluate", "export", "report"
]


@dataclass(frozen=True)
class PhaseSpec:
    """What the engine must know of a phase before it loads any of its code.

    `needs`: phases whose results are inputs; the phase cannot run without them.
    `uses`: phases whose results are inputs too, when they are there.
    `reads`: phases whose manifests themselves are inputs, when they are there.
    `settings`: top-level sections of the settings that decide its result (hashed).
    `keeps_work`: work begun with other settings or inputs is never removed unasked; the phase
    itself refuses what does not fit, and says what differs.
    """

    name: PhaseName
    needs: tuple[PhaseName, ...]
    settings: tuple[str, ...]
    uses: tuple[PhaseName, ...] = ()
    reads: tuple[PhaseName, ...] = ()
    keeps_work: bool = False


PHASES: tuple[PhaseSpec, ...] = (
    PhaseSpec("crawl", (), ("crawl",)),
    PhaseSpec("cleanse", ("crawl",), ("cleanse", "seed")),
    PhaseSpec("verify", (), ("model", "verify", "seed")),
    PhaseSpec("integrate", ("verify",), ("model", "integrate")),
    PhaseSpec("train", ("cleanse", "integrate"), ("train", "seed"), keeps_work=True),
    PhaseSpec("evaluate", ("cleanse", "integrate", "train"), ("model", "evaluate", "seed")),
    PhaseSpec("export", ("integrate", "train"), ("export",), uses=("cleanse", "evaluate")),
    PhaseSpec(
        "report",
        (),
        ("report",),
        reads=("crawl", "cleanse", "verify", "integrate", "train", "evaluate", "export"),
    ),
)

PHASE_NAMES: tuple[PhaseName, ...] = get_args(PhaseName)
SPEC: dict[PhaseName, PhaseSpec] = {spec.name: spec for spec in PHASES}

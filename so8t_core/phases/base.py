"""What a phase is given, and what it gives back.

A phase module `so8t_core/phases/NAME.py` has one public function::

    def run(ctx: PhaseContext) -> Outcome

It reads `ctx.settings`, `ctx.inputs` and its own folder, is safe to kill on any line (it continues
from what its folder durably holds), calls `ctx.pause.point()` at least every five seconds where
everything is consistent, and tells what it does through `ctx.emit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.manifest import BASE_MODEL, Manifest
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings

Level = Literal["debug", "info", "warning", "error"]


class HardPause(Exception):
    """Raised at a pause point: leave now, what is saved is what a resume finds."""


class Emitter(Protocol):
    """Tells the engine, and through it the journal, what happens. All calls are thread-safe."""

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        """How far the phase is; coalesced, so it may be called for every item."""

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        """Points of series such as `loss`; at most ten a second and series reach the journal."""

    def stats(self, values: Mapping[str, Any]) -> None:
        """A snapshot of counters (JSON values; one level of nesting); coalesced, last one wins.

        Keys given earlier and not now keep their value.
        """

    def item(self, kind: str, text: str, **fields: Any) -> None:
        """A recent thing worth showing (a page, a sample); the newest few of a window survive."""

    def log(self, level: Level, message: str) -> None:
        """A line for the log: to the phase's log file, and from `info` up to the journal."""

    def fallback(self, what: str, why: str) -> None:
        """Something slower or weaker than asked for was used; counted and shown."""

    def checkpoint(self, step: int, path: str, reason: str, size_bytes: int) -> None:
        """A checkpoint is durable on disk; returns when the journal has it durably."""

    def rewound(self, step: int) -> None:
        """A resume goes on after `step`; points beyond it are undone. Durable on return."""


class PauseGate(Protocol):
    """Where a phase asks whether it may go on."""

    @property
    def requested(self) -> bool:
        """True while a pause (soft or hard) is wanted; cheap."""

    def point(self, save: Callable[[], None] | None = None) -> None:
        """A consistent moment. Returns at once, or holds while a soft pause lasts.

        On a hard pause calls `save` (if given) and raises `HardPause`.
        """

    async def apoint(self) -> None:
        """`point` for asyncio code."""


@dataclass(frozen=True)
class PhaseContext:
    """Everything that a phase may touch."""

    run: RunDir
    phase: PhaseName
    settings: Settings
    inputs: Mapping[PhaseName, Manifest]
    emit: Emitter
    pause: PauseGate
    live: Callable[[], Mapping[str, Any]] = field(default=dict)
    """Live settings by dotted name (such as `crawl.max_pages_per_s`), as last set by the user."""

    @property
    def folder(self) -> Path:
        """The folder that this phase owns."""
        return self.run.phase(self.phase)

    @property
    def gated(self) -> Path:
        """The gated checkpoint that training starts from: the user's own, or integrate's.

        Raises `InputMissing` where it is integrate's and not there.
        """
        own = self.settings.train.model_path
        return self.input_folder("integrate") / "checkpoint" if own is None else own

    @property
    def gated_digest(self) -> str:
        """Its identity; that of one of the user's as the training found it.

        Raises `InputMissing` where the training was of integrate's, and the settings name another.
        """
        own = self.settings.train.model_path
        if own is None:
            return self.inputs["integrate"].digest
        found = self.inputs["train"].inputs.get(BASE_MODEL)
        if found is None:
            raise InputMissing(
                "The training was of integrate's checkpoint, and the settings name another.",
                where=f"train.model_path: {own}",
                hint=f"`so8t train --run {self.run.name}` trains on that one.",
            )
        return found

    def input_folder(self, name: PhaseName) -> Path:
        """The folder of an input phase that is done.

        Raises `InputMissing` where the run has no valid manifest of it.
        """
        if name not in self.inputs:
            raise InputMissing(
                f"Phase {self.phase} needs the result of {name}, which is not there.",
                where=str(self.run.phase(name)),
                hint=f"Run `so8t resume {self.run.name}`, or the phase {name} alone.",
            )
        return self.run.phase(name)


@dataclass(frozen=True)
class Outcome:
    """What a finished phase hands to its manifest.

    `digest`: identity of the result (hex SHA-256), the same after any kills and resumes; what
    later phases hash as their input. `outputs`: files below the phase's folder, hashed by the
    harness. `figures`: JSON values; every number that the report shows. `extra_inputs`: digests
    of inputs that are no phases, such as the base model.
    """

    digest: str
    outputs: tuple[Path, ...]
    figures: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    extra_inputs: Mapping[str, str] = field(default_factory=dict)

"""Phase 2: crawled pages to a corpus, instruction pairs and safety data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from so8t_core.cleanse.inputs import input_digests
from so8t_core.cleanse.pipeline import Cleansing, Result
from so8t_core.phases.base import Emitter, Outcome, PauseGate, PhaseContext

_PURPOSE = (
    "Flagged text (adult, violent, discriminating or illegal) serves detection and refusal only: "
    "it is in the safety data and in no other data set."
)


@dataclass(frozen=True)
class _Watch:
    """The pipeline's view of the phase's context."""

    emit: Emitter
    pause: PauseGate

    @property
    def pause_requested(self) -> bool:
        return self.pause.requested

    def point(self) -> None:
        self.pause.point()

    def progress(self, done: int, total: int, message: str) -> None:
        self.emit.progress(done, total, "documents", message)

    def stats(self, values: Mapping[str, Any]) -> None:
        self.emit.stats(values)

    def note(self, message: str) -> None:
        self.emit.log("info", message)


def run(ctx: PhaseContext) -> Outcome:
    """Cleanse the run's crawl.

    Raises `InputMissing` without a crawl, `InputInvalid` for a damaged page index, `DataError`
    when no page is kept, `ResourceError` when a worker is killed.
    """
    crawl = ctx.input_folder("crawl")
    settings = ctx.settings.cleanse
    ctx.folder.mkdir(parents=True, exist_ok=True)
    result = Cleansing(
        crawl=crawl,
        folder=ctx.folder,
        settings=settings,
        seed=ctx.settings.seed,
        workers=settings.workers or os.cpu_count() or 1,
        watch=_Watch(ctx.emit, ctx.pause),
    ).run()
    ctx.emit.log("info", _summary(result))
    return Outcome(
        digest=result.digest,
        outputs=tuple(ctx.folder / name for name in sorted(result.files)),
        figures=result.figures,
        notes=(_PURPOSE,),
        extra_inputs=input_digests(settings),
    )


def _summary(result: Result) -> str:
    figures = result.figures
    return (
        f"{figures['documents_kept']} of {figures['documents_in']} pages kept, "
        f"{sum(figures['pairs_by_rule'].values())} instruction pairs, "
        f"{sum(figures['safety_rows_by_label'].values())} safety rows"
    )

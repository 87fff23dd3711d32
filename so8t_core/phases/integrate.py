"""Phase 4: the base model becomes a gated checkpoint, equal to it to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from so8t_core.contract.errors import ModelError
from so8t_core.contract.manifest import BASE_MODEL
from so8t_core.model.base import digest_of, resolve_base
from so8t_core.model.integrate import integrate
from so8t_core.model.unchanged import prove_unchanged
from so8t_core.phases.base import Outcome, PhaseContext


def run(ctx: PhaseContext) -> Outcome:
    """Write `checkpoint/`, and prove on the written files that nothing changed."""
    base = resolve_base(ctx.settings.model, seed=ctx.settings.seed)
    checkpoint = ctx.folder / "checkpoint"
    verification = _verification(ctx, base)
    report = integrate(
        base,
        checkpoint,
        ctx.settings.model,
        pause=ctx.pause,
        emit=ctx.emit,
        verification=verification,
    )
    figures = report.as_figures()
    notes = []
    if not report.has_tokenizer:
        notes.append("The base model has no tokenizer, so the checkpoint has none.")
    if ctx.settings.integrate.compare_logits:
        figures["logit_difference"] = prove_unchanged(
            base,
            checkpoint,
            ctx.settings.model,
            ctx.settings.verify,
            seed=ctx.settings.seed,
            pause=ctx.pause,
        )
    ctx.emit.stats(figures)
    return Outcome(
        digest=report.digest,
        outputs=tuple(sorted(path for path in checkpoint.rglob("*") if path.is_file())),
        figures=figures,
        notes=tuple(notes),
        extra_inputs={BASE_MODEL: report.base_digest},
    )


def _verification(ctx: PhaseContext, base: Path) -> dict[str, Any] | None:
    """The figures of the verify phase, which must be of this very base."""
    if "verify" not in ctx.inputs:
        return None
    figures = ctx.inputs["verify"].figures
    if figures["base_digest"] != digest_of(base):
        raise ModelError(
            "The base model changed after it was verified.",
            where=str(base),
            hint="If it was not meant to change, fetch it again. Then verify it again: "
            f"so8t verify --run {ctx.run.name}",
        )
    return figures

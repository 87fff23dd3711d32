"""Phase 3: the gated model proven equal to the base, on the base itself."""

from __future__ import annotations

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import canonical_json, sha256_text, write_json
from so8t_core.contract.manifest import BASE_MODEL
from so8t_core.model.base import resolve_base
from so8t_core.model.verify import verify
from so8t_core.phases.base import Outcome, PhaseContext


def run(ctx: PhaseContext) -> Outcome:
    """Run the checks, write `verification.json`, and refuse to go on where one fails."""
    base = resolve_base(ctx.settings.model, seed=ctx.settings.seed)
    ctx.pause.point()
    result = verify(
        base,
        ctx.settings.model,
        ctx.settings.verify,
        seed=ctx.settings.seed,
        workspace=ctx.folder / "workspace",
        pause=ctx.pause,
        emit=ctx.emit,
    )
    figures = {"base": ctx.settings.model.base, **result.as_figures()}
    ctx.emit.stats({check.name: check.value for check in result.checks})
    path = ctx.folder / "verification.json"
    write_json(path, figures)
    if result.failed:
        worst = result.failed[0]
        raise ModelError(
            f"{len(result.failed)} of {len(result.checks)} checks failed, the first {worst.name}: "
            f"{worst.value:.3g}, at most {worst.bound:.3g} is allowed ({worst.meaning}).",
            where=str(path),
            hint="Nothing was integrated. Check the base model's files; in 16-bit dtypes try "
            "verify.dtype: float32.",
        )
    notes = []
    if not result.prompts_from_tokenizer:
        notes.append("The base model has no tokenizer; the checks ran on random token ids.")
    # what was proven, not the rounding of this machine
    proven = {
        "base": result.base_digest,
        "gate": ctx.settings.model.gate.model_dump(mode="json"),
        "checks": [check.name for check in result.checks],
    }
    return Outcome(
        digest=sha256_text(canonical_json(proven)),
        outputs=(path,),
        figures=figures,
        notes=tuple(notes),
        extra_inputs={BASE_MODEL: result.base_digest},
    )

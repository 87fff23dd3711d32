"""Proof on written files that integration changed nothing: the logits differ by exactly 0.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import write_json
from so8t_core.contract.settings.model import ModelSettings, VerifySettings
from so8t_core.model.base import INTEGRATION_FILE
from so8t_core.model.compare import compare, logits_of
from so8t_core.model.loading import compute_dtype, load_base, load_gated, pick_device
from so8t_core.model.prompts import prompt_ids
from so8t_core.model.weights import ModelFolder, torch_dtype

if TYPE_CHECKING:
    from so8t_core.phases.base import PauseGate


def prove_unchanged(
    base: Path,
    checkpoint: Path,
    settings: ModelSettings,
    options: VerifySettings,
    *,
    seed: int,
    pause: PauseGate | None = None,
) -> float:
    """The largest difference of a logit between the base and its gated checkpoint: 0.0.

    Compared on `options.prompts`, one model in memory at a time, and noted in integration.json.
    Raises `ModelError` for any other difference.
    """
    ids, _ = prompt_ids(
        base,
        options.prompts,
        max_tokens=options.max_prompt_tokens,
        seed=seed,
        trust_remote_code=settings.trust_remote_code,
    )
    device = pick_device(options.device)
    stored = ModelFolder.read(checkpoint).dtype
    logits = []
    for load, folder in ((load_base, base), (load_gated, checkpoint)):
        if pause is not None:
            pause.point()
        # first in the checkpoint's dtype, so that both see the same rounded weights
        model = load(folder, dtype=torch_dtype(stored), device=device)
        if compute_dtype("auto", stored, device) != torch_dtype(stored):
            model = model.float()  # type: ignore[no-untyped-call]  # unannotated in transformers
        logits.append(logits_of(model, ids))
    difference = compare(*logits).max_difference
    if difference != 0.0:
        raise ModelError(
            f"The written checkpoint differs from its base by {difference:.3g} in a logit.",
            where=str(checkpoint),
            hint="Integrate again; if it stays, the disk or the base folder is damaged.",
        )
    record = checkpoint / INTEGRATION_FILE
    figures = json.loads(record.read_text(encoding="utf-8"))
    write_json(record, {**figures, "logit_difference": difference})
    return difference

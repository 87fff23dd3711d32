"""Proof by logits that the folded checkpoint is the trained model."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import write_json
from so8t_core.contract.settings.export import ExportSettings
from so8t_core.model.accounting import GATE_KEYS
from so8t_core.model.compare import LogitComparison, compare, logits_of
from so8t_core.model.fold import REPORT_FILE
from so8t_core.model.loading import load_base
from so8t_core.model.prompts import prompt_ids
from so8t_core.model.tokenizer_code import tokenizer_code
from so8t_core.model.weights import CONFIG_FILE

_STOCK_TYPE = "phi3"
_OUR_KEYS = ("auto_map", *GATE_KEYS)


def prove_fold(
    load_trained: Callable[[], Any],
    folded: Path,
    settings: ExportSettings,
    *,
    trust_remote_code: bool,
    step: Callable[[], None],
) -> LogitComparison:
    """Compare the trained model with the folded stock model, both in float32 on the CPU.

    `load_trained` gives the gated checkpoint with its adapter, nothing merged. One model is in
    memory at a time; `step` runs between them. Raises `ModelError` when the folded
    checkpoint holds anything of ours.
    """
    _require_stock(folded)
    ids, _ = prompt_ids(
        folded,
        settings.proof_prompts,
        max_tokens=settings.proof_max_tokens,
        seed=0,
        trust_remote_code=trust_remote_code,
    )
    trained = logits_of(load_trained(), ids)
    gc.collect()
    step()
    stock = logits_of(load_base(folded, dtype=torch.float32), ids)
    gc.collect()
    return compare(trained, stock)


def require_equal(comparison: LogitComparison, folded: Path, settings: ExportSettings) -> None:
    """Raise `ModelError` when the folded model is further away than the settings allow."""
    if not comparison.relative <= settings.proof_limit():
        raise ModelError(
            f"The folded model's logits differ from the trained model's by "
            f"{comparison.relative:.2e} of their scale; {settings.proof_limit():.0e} is allowed.",
            where=str(folded),
            hint="Fold in float32 (export.folded_dtype); fold.json has all figures.",
        )


def record_proof(folded: Path, facts: Mapping[str, Any]) -> None:
    """Write the comparison's figures beside the fold's, in the folded folder's own fold.json."""
    report = json.loads((folded / REPORT_FILE).read_text(encoding="utf-8"))
    write_json(folded / REPORT_FILE, {**report, "proof": dict(facts)})


def _require_stock(folded: Path) -> None:
    config = json.loads((folded / CONFIG_FILE).read_text(encoding="utf-8"))
    ours = sorted(key for key in _OUR_KEYS if key in config)
    code = {path.name for path in folded.glob("*.py")} - tokenizer_code(folded)
    if config["model_type"] != _STOCK_TYPE or ours or code:
        raise ModelError(
            "The folded checkpoint is not a stock Phi-3.",
            where=f"{folded / CONFIG_FILE}: {config['model_type']} {' '.join(ours)}".rstrip(),
            hint="Run the export phase again.",
        )

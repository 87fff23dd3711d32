"""Phase 3's work: proof, on the actual base model, that the gated model is what we say it is."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import ModelError
from so8t_core.contract.settings.model import ModelSettings, VerifySettings
from so8t_core.model.accounting import account, check_finite, gated_config
from so8t_core.model.base import check_hashes, digest_of
from so8t_core.model.compare import compare, logits_of
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.gate_checks import model_gradient_check, randomise, rotation_checks
from so8t_core.model.loading import (
    check_generation_config,
    compute_dtype,
    load_base,
    load_base_with_gates,
    load_gated,
    pick_device,
    quiet_transformers,
)
from so8t_core.model.output_folder import check_space, full_disk_told
from so8t_core.model.prompts import prompt_ids
from so8t_core.model.trial import TOLERANCES, Check, Trial, Written, generate
from so8t_core.model.weights import ModelFolder, dtype_name

if TYPE_CHECKING:
    import torch

    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3ForCausalLM
    from so8t_core.phases.base import Emitter, PauseGate

_LEAST_TOKENS = 2
"""Of a prompt: the loss is of the second token and those after it."""


@dataclass(frozen=True)
class Verification:
    """All checks on one base model."""

    base_digest: str
    device: str
    dtype: str
    prompts_from_tokenizer: bool
    prompt_tokens: int
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.passed)

    def as_figures(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "base_digest": self.base_digest,
            "device": self.device,
            "dtype": self.dtype,
            "prompts_from_tokenizer": self.prompts_from_tokenizer,
            "prompt_tokens": self.prompt_tokens,
            "checks_passed": len(self.checks) - len(self.failed),
            "checks_total": len(self.checks),
            "checks": [check.as_figures() for check in self.checks],
        }


def verify(
    base: Path,
    settings: ModelSettings,
    options: VerifySettings,
    *,
    seed: int,
    workspace: Path,
    pause: PauseGate | None = None,
    emit: Emitter | None = None,
) -> Verification:
    """Run every check on the Phi-3 folder `base`.

    `workspace`: a folder for two temporary copies of the model; emptied before, removed after.
    Raises `ModelError` where the base cannot be gated at all or is damaged, `ResourceError` where
    the disk is too small or fills up; a check that fails is in the result, not raised.
    """
    folder = ModelFolder.read(base)
    account(folder, gated_config(folder, settings))
    check_hashes(folder)
    check_generation_config(base)
    point = pause.point if pause is not None else _go_on
    check_finite(folder, point)
    ids, tokenized = prompt_ids(
        base,
        options.prompts,
        max_tokens=options.max_prompt_tokens,
        min_tokens=_LEAST_TOKENS,
        seed=seed,
        trust_remote_code=settings.trust_remote_code,
    )
    device = pick_device(options.device)
    dtype = compute_dtype(options.dtype, folder.dtype, device)
    trial = Trial(
        base=base,
        workspace=workspace,
        settings=settings,
        verify=options,
        ids=ids,
        seed=seed,
        device=device,
        dtype=dtype,
        tolerance=TOLERANCES[dtype_name(dtype)],
        point=point,
    )
    checks: list[Check] = []
    with _emptied(workspace), full_disk_told(workspace):
        check_space(workspace, 2 * sum(entry.size_bytes for entry in folder.tensors.values()))
        for check in _all_checks(trial, folder):
            checks.append(check)
            if emit is not None:
                emit.progress(len(checks), None, "checks", check.name)
    return Verification(
        base_digest=digest_of(base),
        device=device,
        dtype=dtype_name(dtype),
        prompts_from_tokenizer=tokenized,
        prompt_tokens=sum(map(len, ids)),
        checks=tuple(checks),
    )


def _go_on() -> None:
    """Without a pause gate nothing holds the checks."""


@contextmanager
def _emptied(workspace: Path) -> Iterator[None]:
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _all_checks(trial: Trial, folder: ModelFolder) -> Iterator[Check]:
    """Every check; at most one whole model is in memory at a time."""
    trial.point()
    stock = load_base(trial.base, dtype=trial.dtype, device=trial.device)
    before = logits_of(stock, trial.ids)
    trial.point()
    written = generate(stock, trial)
    del stock
    trial.point()
    config = gated_config(folder, trial.settings)
    model = load_base_with_gates(trial.base, config, dtype=trial.dtype, device=trial.device)
    yield from _identity_checks(trial, model, before, written)
    randomise(model, spread=trial.verify.rotation_spread, seed=trial.seed)
    model.requires_grad_(requires_grad=False)
    yield _cache_check(trial, model)
    yield from rotation_checks(trial, model)
    yield model_gradient_check(trial, model)
    turned = logits_of(model, trial.ids)
    attention = model.config._attn_implementation
    with quiet_transformers():
        model.save_pretrained(trial.workspace / "gated")
    del model
    yield from _round_trip_checks(trial, turned, attention)


def _identity_checks(
    trial: Trial, model: SO8TPhi3ForCausalLM, before: list[torch.Tensor], written: Written
) -> Iterator[Check]:
    trial.point()
    difference = compare(before, logits_of(model, trial.ids)).max_difference
    yield Check(
        "identity_logits", difference, 0.0, "largest logit difference to the base, gates at zero"
    )
    trial.point()
    again = generate(model, trial)
    changed = sum(
        ours != theirs
        for first, second in zip(written.ids, again.ids, strict=True)
        for ours, theirs in zip(first, second, strict=True)
    )
    yield Check("identity_tokens", float(changed), 0.0, "tokens generated otherwise than the base")
    yield Check(
        "identity_generation",
        compare(written.logits, again.logits).max_difference,
        0.0,
        "largest logit difference to the base in cached generation",
    )


def _cache_check(trial: Trial, model: SO8TPhi3ForCausalLM) -> Check:
    trial.point()
    written = generate(model, trial)
    trial.point()
    whole = [ids + new for ids, new in zip(trial.ids, written.ids, strict=True)]
    full = [
        logits[len(ids) - 1 : -1]
        for ids, logits in zip(trial.ids, logits_of(model, whole), strict=True)
    ]
    return Check(
        "cache",
        compare(full, written.logits).relative,
        trial.tolerance.cache,
        "logits with the cache against without, rotated at random, of the logit scale",
    )


def _round_trip_checks(trial: Trial, turned: list[torch.Tensor], attention: str) -> Iterator[Check]:
    """On the saved copy; `attention`: how `turned` was computed, which saving does not keep."""
    trial.point()
    saved = trial.workspace / "gated"
    loaded = load_gated(
        saved, dtype=trial.dtype, device=trial.device, attn_implementation=attention
    )
    yield Check(
        "save_and_load",
        compare(turned, logits_of(loaded, trial.ids)).max_difference,
        0.0,
        "largest logit difference after saving and loading a rotated model",
    )
    del loaded
    folded = trial.workspace / "folded"
    try:
        fold_checkpoint(saved, folded)
    except ModelError as error:  # it refuses gates that are no rotations: a finding, not an end
        yield Check("fold", math.inf, trial.tolerance.fold, f"the fold refused: {error.what}")
        return
    trial.point()
    stock = load_base(folded, dtype=trial.dtype, device=trial.device, attn_implementation=attention)
    yield Check(
        "fold",
        compare(turned, logits_of(stock, trial.ids)).relative,
        trial.tolerance.fold,
        "rotated model against its fold as a stock Phi-3, largest difference of the logit scale",
    )

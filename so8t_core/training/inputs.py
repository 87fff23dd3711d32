"""What a training starts from: model, data, and what makes it the same training at a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from so8t_core.contract.errors import ModelError
from so8t_core.contract.manifest import BASE_MODEL
from so8t_core.contract.settings.train import OPERATIONAL, STEERING, TrainSettings
from so8t_core.model.accounting import GATED_TYPE, STOCK_TYPE
from so8t_core.model.weights import read_config
from so8t_core.phases.base import PhaseContext
from so8t_core.training.adapter import no_gates
from so8t_core.training.base_model import no_such_linears
from so8t_core.training.footprint import ModelShape
from so8t_core.training.outside import outside_digests
from so8t_core.training.preparation import PreparedData

HELD_OUT_ROWS = "held-out rows"
"""In the identity of a training: which rows were held out. Older ones have no such entry."""


@dataclass(frozen=True)
class TrainingInputs:
    """Where the model and the data come from; digests tell a resume whether they changed."""

    model: Path
    model_digest: str
    cleansed: Path | None
    outside: Mapping[str, str]


def resolve_inputs(ctx: PhaseContext) -> TrainingInputs:
    """Those that the settings name, else what the phases before have made.

    Raises `InputMissing` where there is no model or no file of data.
    """
    settings = ctx.settings.train
    outside = outside_digests(settings)
    if settings.model_path is not None:
        model, model_digest = settings.model_path, outside[BASE_MODEL]
    else:
        model = ctx.input_folder("integrate") / "checkpoint"
        model_digest = ctx.inputs["integrate"].digest
    cleansed = None if settings.dataset is not None else ctx.input_folder("cleanse")
    return TrainingInputs(model, model_digest, cleansed, outside)


def training_identity(
    ctx: PhaseContext,
    inputs: TrainingInputs,
    data: PreparedData,
    threads: int,
    device: torch.device,
    *,
    whole_share: bool,
) -> dict[str, Any]:
    """What a checkpoint must have been made with for a resume to go on with its numbers.

    `whole_share`: see `encode_data`.
    """
    chosen = ctx.settings.train.model_dump(mode="json", exclude=set(OPERATIONAL | STEERING))
    return {
        **{f"train.{name}": value for name, value in chosen.items()},
        "train.threads": threads if device.type == "cpu" else None,
        "seed": ctx.settings.seed,
        "base model": inputs.model_digest,
        "training data": data.train.digest(),
        "held-out data": data.held_out.digest() if data.held_out else None,
        "device": device.type,
        **({} if whole_share else {HELD_OUT_ROWS: "measured ones"}),
    }


def holds_whole_share(identity: Mapping[str, Any] | None) -> bool:
    """Whether a training began when all of `train.validation_fraction` was held out.

    `identity`: of its checkpoints; None where it has none yet.
    """
    return identity is not None and HELD_OUT_ROWS not in identity


def require_trainable(model: Path, settings: TrainSettings) -> None:
    """Raise `ModelError` where its config.json tells that there is nothing to attach to.

    Linears are known of Phi-3 alone; those of another kind are looked for when it is loaded.
    """
    shape, kind = ModelShape.of_folder(model), read_config(model).get("model_type")
    if settings.train_gates and not shape.gated_layers:
        raise no_gates()
    unmatched = [name for name in settings.lora_targets if name not in shape.linears]
    if unmatched and kind in (GATED_TYPE, STOCK_TYPE):
        raise no_such_linears(unmatched, shape.linears, str(model))


def require_positions(model: Path, data: PreparedData) -> None:
    """Raise `ModelError` where a sample is longer than the model has positions for."""
    most = read_config(model).get("max_position_embeddings")
    for kind, longest in data.longest.items():
        if isinstance(most, int) and longest > most:
            raise ModelError(
                f"The longest sample {kind} has {longest} tokens, and the model positions for "
                f"{most}.",
                where="train.max_length_tokens",
                hint=f"Set it to {most} or less.",
            )

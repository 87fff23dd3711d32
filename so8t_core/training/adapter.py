"""LoRA and gates as a PEFT adapter: attached before training, written as a folder after it."""

# peft annotates only part of what is called here
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import (
    canonical_json,
    replacing_folder,
    sha256_file,
    write_json,
    write_text,
)
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model.adapter import HASHES, TRAINING_FACTS
from so8t_core.training.gate_terms import Gate, trained_gates

GATE_MODULE = "rotation_gate"


@contextmanager
def _older_name() -> Iterator[None]:
    """Without the warning that peft 0.21 still asks transformers by the older of two names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def no_gates() -> ModelError:
    """That gates are to be trained and the model has none."""
    return ModelError(
        "The model has no SO(8) gates to train.",
        where="train.train_gates",
        hint="Run `so8t integrate` on it first, or set `train.train_gates: false`.",
    )


def attach_adapter(base: nn.Module, settings: TrainSettings, seed: int) -> PeftModel:
    """Freeze the base, add LoRA (seeded) and make the gates trainable copies of the base's.

    Raises `ModelError` when gates are to be trained and the model has none.
    """
    gated = any(name.endswith(GATE_MODULE) for name, _ in base.named_modules())
    if settings.train_gates and not gated:
        raise no_gates()
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(settings.lora_targets),
        modules_to_save=[GATE_MODULE] if settings.train_gates else None,
        task_type="CAUSAL_LM",
    )
    with _older_name():
        model = get_peft_model(base, config)
    for gate in trained_gates(model):
        if gate.module.theta.dtype != torch.float32:
            raise ModelError(
                f"A gate was loaded as {gate.module.theta.dtype}, it must be float32.",
                where=gate.name,
                hint="Run `so8t integrate` again with this version.",
            )
    return model


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The trained parameters by name, in model order; not copies."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Overwrite the trained parameters. Raises KeyError where one is missing."""
    for name, weight in trained_weights(model).items():
        weight.copy_(weights[name])


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of weights, by name."""
    content = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].cpu().contiguous()
        content.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        content.update(tensor.view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def write_adapter(
    folder: Path, model: PeftModel, gates: tuple[Gate, ...], facts: Mapping[str, Any], card: str
) -> None:
    """Write the folder that `PeftModel.from_pretrained` loads, with the gates also on their own.

    `gates.safetensors` holds each gate's theta (float32) under its name in the base checkpoint;
    `training.json` the facts with the hashes of both files of tensors, and README.md the card, free
    of times, so that equal training gives equal files.
    """
    with replacing_folder(folder) as partial:
        model.save_pretrained(str(partial), safe_serialization=True, save_embedding_layers=False)
        write_text(partial / "README.md", card)  # instead of PEFT's form with nothing filled in
        if gates:
            save_file(
                {f"{gate.name}.theta": gate.module.theta.detach().cpu() for gate in gates},
                partial / "gates.safetensors",
                metadata={"format": "pt"},
            )
        hashes = {path.name: sha256_file(path) for path in sorted(partial.glob("*.safetensors"))}
        write_json(partial / TRAINING_FACTS, {**facts, HASHES: hashes})

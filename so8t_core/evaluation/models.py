"""The tuned side of the comparison, unquantised, and the arithmetic of both."""

# peft annotates only part of what is called here
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import warnings
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.model.adapter import Adapter
from so8t_core.model.loading import load_gated
from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.model.projection import make_rotations
from so8t_core.model.so8 import rotate
from so8t_core.model.weights import ModelFolder


def choose_dtype(settings: EvaluateSettings, device: str) -> torch.dtype:
    """The arithmetic of both models."""
    if settings.dtype == "auto":
        return torch.bfloat16 if device == "cuda" else torch.float32
    return torch.bfloat16 if settings.dtype == "bfloat16" else torch.float32


def load_tuned(
    checkpoint: Path, adapter: Path, device: str, dtype: torch.dtype, *, nearest: bool = False
) -> nn.Module:
    """The gated checkpoint with the trained adapter beside it, LoRA not merged.

    `nearest`: `free` matrices give way to the rotations nearest to them.
    Raises `InputMissing` where there is no adapter: an untrained model must not pass as tuned;
    `ModelError` for an adapter of another base, or a damaged one.
    """
    if not (adapter / "adapter_config.json").is_file():
        raise InputMissing(
            "There is no trained adapter to evaluate.",
            where=str(adapter),
            hint="Run the train phase first.",
        )
    trained = Adapter.read(adapter, ModelFolder.read(checkpoint))
    gated = load_gated(checkpoint, dtype=dtype, device=device)
    with torch.no_grad():
        for name, theta in trained.gates.items():
            gated.get_parameter(name).copy_(theta)
    config = PeftConfig.from_pretrained(str(adapter))
    if not trained.holds_every_gate:  # PEFT would look for each among the adapter's own tensors
        config.modules_to_save = None
    with warnings.catch_warnings():
        # peft asks transformers by its old name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        tuned: PeftModel = PeftModel.from_pretrained(gated, str(adapter), config=config).eval()
    if nearest:
        make_rotations(tuned)
    freeze_rotations(tuned)
    return tuned


class FrozenRotation(nn.Module):
    """A gate whose matrices are built once: (width / 8, 8, 8) float32."""

    matrices: Tensor

    def __init__(self, matrices: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrices", matrices)

    def forward(self, hidden: Tensor) -> Tensor:
        """Rotate `hidden`, (..., width); same shape and dtype."""
        return rotate(hidden, self.matrices)


def freeze_rotations(model: nn.Module) -> int:
    """Replace each gate, wrapped by PEFT or not, by its built matrices; returns how many.

    A model that is only read would otherwise build every exponential anew for every token.
    """
    replaced = 0
    for module in list(model.modules()):
        gate = getattr(module, "rotation_gate", None)
        if isinstance(gate, ModulesToSaveWrapper):
            gate = gate.modules_to_save.get_submodule(gate.active_adapters[0])
        if isinstance(gate, SO8TRotationGate):
            with torch.no_grad():
                module.register_module("rotation_gate", FrozenRotation(gate.rotation()))
            replaced += 1
    return replaced

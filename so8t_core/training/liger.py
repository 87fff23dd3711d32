"""Liger's kernels on an SO8T model: norms, MLP, position embedding and the loss without logits."""

# liger_kernel is optional and has no annotations
# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from so8t_core.contract.errors import ModelError, ResourceError
from so8t_core.contract.settings.train import TrainSettings

PACKAGE = "liger_kernel"
Positions = Callable[..., tuple[Tensor, Tensor]]


def liger_wanted(settings: TrainSettings, device: torch.device) -> bool:
    """Whether to use it. Raises `ResourceError` where it is required and cannot be had."""
    usable = liger_there(device)
    if settings.liger == "on" and not usable:
        raise ResourceError(
            "Liger's kernels are asked for and "
            + ("need a CUDA device." if _installed() else "liger-kernel is not installed."),
            where="train.liger",
            hint="Set `train.liger: auto`, or install liger-kernel on a machine with a GPU.",
        )
    return usable and settings.liger != "off"


def liger_there(device: torch.device) -> bool:
    """Whether it can be had on that device."""
    return _installed() and device.type == "cuda"


def _installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def apply_liger(base: nn.Module) -> None:
    """Put Liger's kernels into a loaded SO8T model.

    The position embedding is the process's: Liger's for what is on a GPU, Phi-3's for the rest.

    Liger chooses by `config.model_type` and passes over types that it does not know without a
    word, so its Phi-3 function is called by name. Raises `ModelError` where it did not take hold.
    """
    from liger_kernel.transformers import apply_liger_kernel_to_phi3
    from transformers.models.phi3 import modeling_phi3

    classes = {name: getattr(modeling_phi3, name) for name in ("Phi3RMSNorm", "Phi3MLP")}
    before = modeling_phi3.apply_rotary_pos_emb
    apply_liger_kernel_to_phi3(model=base)
    for name, original in classes.items():  # it replaces them too, for models still to be built
        setattr(modeling_phi3, name, original)
    if unchanged := _unchanged(base):
        raise ModelError(
            f"Liger's kernels did not take hold of: {', '.join(unchanged)}.",
            where="train.liger",
            hint="Set `train.liger: off`, or install a liger-kernel that fits this transformers.",
        )
    if before.__module__ != __name__:
        before = _by_device(modeling_phi3.apply_rotary_pos_emb, before)
    modeling_phi3.apply_rotary_pos_emb = before


def _by_device(on_gpu: Positions, elsewhere: Positions) -> Positions:
    def embed(q: Tensor, *rest: Any, **named: Any) -> tuple[Tensor, Tensor]:
        return (on_gpu if q.is_cuda else elsewhere)(q, *rest, **named)

    return embed


def _unchanged(base: nn.Module) -> list[str]:
    """The parts that still compute as stock Phi-3 does."""
    from transformers.models.phi3 import modeling_phi3

    model: Any = base.model
    parts: dict[str, Any] = {
        "loss": base.forward,
        "position embedding": modeling_phi3.apply_rotary_pos_emb,
        "final norm": model.norm.forward,
    }
    for index, layer in enumerate(model.layers):
        parts[f"MLP of layer {index}"] = layer.mlp.forward
        parts[f"first norm of layer {index}"] = layer.input_layernorm.forward
        parts[f"second norm of layer {index}"] = layer.post_attention_layernorm.forward
    return [name for name, call in parts.items() if not call.__module__.startswith(PACKAGE)]

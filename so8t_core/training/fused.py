"""Whether training runs on fused operations, and a model switched to them."""

from __future__ import annotations

import torch
from peft import PeftModel

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.fused_lora import fuse_lora, unfuse_lora
from so8t_core.training.fused_phi3 import fuse_phi3, unfuse_phi3

FLASH_CAPABILITY = (8, 0)
"""The oldest GPUs that torch's kernels for attention of many lengths run on: Ampere."""


def fused_wanted(settings: TrainSettings, device: torch.device) -> bool:
    """Whether to use them: not beside bitsandbytes' own int8 product, which they would replace."""
    if settings.fused == "auto":
        return device.type == "cuda" and not settings.stock_int8
    return settings.fused == "on"


def ends_told(settings: TrainSettings, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether attention of packed rows is told where samples end; see `packed_attention.py`."""
    if settings.packed_attention != "auto":
        return settings.packed_attention == "ends"
    return (
        device.type == "cuda"
        and dtype != torch.float32
        and torch.cuda.get_device_capability(device) >= FLASH_CAPABILITY
        and fused_wanted(settings, device)
    )


def fuse(model: PeftModel) -> tuple[int, int]:
    """Switch LoRA, gates, layers and norms; returns how many LoRA layers and how many modules."""
    return fuse_lora(model), fuse_phi3(model)


def unfuse(model: PeftModel) -> None:
    """Undo `fuse`. Liger's MLP, if there was one, has to be applied again."""
    unfuse_lora(model)
    unfuse_phi3(model)

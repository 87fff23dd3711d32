"""The frozen base, shared out among the GPUs of a training: torch's FSDP2, for what never changes.

Only the weights of the layers' frozen linears are sharded, nearly all of a base. What is trained
stays whole on every rank, as an ordinary tensor: DDP averages its gradients, an optimiser keeps its
8-bit states, and a checkpoint needs nobody but the first rank. A layer's weights come together for
its forward pass and for its backward pass, and are dropped again after each.
"""

# torch and bitsandbytes annotate only part of what is called here
# mypy: disable-error-code="no-untyped-call, attr-defined"
from __future__ import annotations

from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.base_model import one_device
from so8t_core.training.fused import fused_wanted


def require_shardable(settings: TrainSettings, device: torch.device) -> None:
    """Raise `ResourceError` where sharded weights could not be multiplied.

    bitsandbytes' own 4-bit product puts a weight of its own kind in the place of a gathered one.
    """
    if settings.base_storage == "nf4" and not fused_wanted(settings, device):
        raise ResourceError(
            "A base stored as NF4 can be sharded with the joined operations only.",
            where="train.parallel, train.fused",
            hint="Set `train.fused: auto`, or `train.parallel: ddp`.",
        )


def shard_base(model: PeftModel, device: torch.device) -> None:
    """Share the base out over all ranks and put the rest on `device`; every rank must call it.

    The model may be on the CPU before; no more than one layer of it is whole on the device at once.
    Call it after `fuse`, before anything keeps a reference to a frozen weight.
    """
    base: Any = model.get_base_model()
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.weight.quant_state.to(device)  # scales stay whole: an eighth of a bit a weight
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    shared = {
        module.weight
        for module in base.model.layers.modules()
        if isinstance(module, nn.Linear) and not module.weight.requires_grad
    }
    whole = {parameter for parameter in model.parameters() if parameter not in shared}
    for layer in base.model.layers:
        fully_shard(layer, mesh=mesh, ignored_params=whole)
    # with no weight of its own: layers of one root gather ahead of their turn
    fully_shard(base, mesh=mesh, ignored_params=whole)
    for parameter in whole:
        parameter.data = parameter.data.to(device)
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))
    base.hf_device_map = one_device(device)


def average_gradients(model: nn.Module, device: torch.device) -> DistributedDataParallel:
    """The model under DDP, which leaves alone what `ranks.leave_to_us` named.

    accelerate refuses to wrap a model with sharded weights, since DDP could not reduce those;
    here they have no gradient.
    """
    own = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=own)


def own_bytes(model: nn.Module) -> int:
    """Bytes of sharded weights that this rank keeps."""
    shards = [p.to_local() for p in model.parameters() if isinstance(p, DTensor)]
    return sum(shard.numel() * shard.element_size() for shard in shards)

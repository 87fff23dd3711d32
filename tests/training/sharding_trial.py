"""One pass of a model before and after its base is shared out among the ranks of torchrun.

`torchrun ... -m tests.training.sharding_trial MODEL OUT STORAGE`: each rank writes what it found.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.adapter import attach_adapter
from so8t_core.training.base_model import load_base
from so8t_core.training.fused import fuse
from so8t_core.training.sharding import own_bytes, shard_base

CPU = torch.device("cpu")


def one_pass(model: PeftModel) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    ids = torch.arange(5, 37).view(2, 16)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def frozen_linears(model: PeftModel) -> list[nn.Parameter]:
    layers: Any = model.get_base_model().model.layers
    linears = [module for module in layers.modules() if isinstance(module, nn.Linear)]
    return [module.weight for module in linears if not module.weight.requires_grad]


def main(folder: str, out: str, storage: str) -> None:
    distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    settings = TrainSettings.model_validate(
        {
            "base_storage": storage,
            "parallel": "fsdp",
            "lora_dropout": 0.0,
            "gradient_checkpointing": 0.5,
        }
    )
    model = attach_adapter(load_base(Path(folder), settings, CPU, torch.float32), settings, 0)
    fuse(model)
    model.train()
    torch.manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02)
    loss, gradients = one_pass(model)
    frozen = frozen_linears(model)
    whole = sum(weight.nbytes for weight in frozen)
    floating = all(weight.is_floating_point() for weight in frozen)
    shard_base(model, CPU)
    shared_loss, shared_gradients = one_pass(model)
    found = {
        "same_loss": loss == shared_loss,
        "same_gradients": all(map(torch.equal, gradients, shared_gradients)),
        "gradients": [len(gradients), len(shared_gradients)],
        "whole_bytes": whole,
        "own_bytes": own_bytes(model),
        "floating": floating,
        "trained_whole": not any(
            isinstance(p, DTensor) for p in model.parameters() if p.requires_grad
        ),
    }
    Path(out, f"{os.environ['RANK']}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

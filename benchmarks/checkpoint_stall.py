"""How long training stands still for a checkpoint, and what writing it costs beside it.

    python benchmarks/checkpoint_stall.py OUT.json                       # 3.8B shape, on a GPU
    python benchmarks/checkpoint_stall.py OUT.json --small --device cpu  # anywhere

Tensors of the shapes that LoRA r 64 on every linear and gates of all layers have for
Phi-3.5-mini (random values), and AdamW's 8-bit states of them, go through the program's own
CheckpointWriter and CheckpointStore. Between two checkpoints the device multiplies matrices as
training would, each product started from this thread; its pace is taken without a write and during
one. Exits with 1 where the longest stall is over 100 ms (3.8B shape on a GPU only). The first
checkpoint of a process is among those that count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from so8t_core.training.checkpoint import CheckpointStore, Snapshot, read_checkpoint
from so8t_core.training.checkpoint_writer import CheckpointWriter, Written
from so8t_core.training.optimizer import GroupedAdamW, optimizer_state, parameter_names

BAR_S = 0.1
BLOCK = 8
SKEW_NUMBERS = 28


@dataclass(frozen=True)
class Shape:
    """What of a model decides the size of its adapter."""

    layers: int
    width: int
    qkv: int
    mlp: int
    rank: int

    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each linear that LoRA is put on."""
        return {
            "qkv_proj": (self.width, self.qkv),
            "o_proj": (self.width, self.width),
            "gate_up_proj": (self.width, 2 * self.mlp),
            "down_proj": (self.mlp, self.width),
        }


PHI_3_5_MINI = Shape(layers=32, width=3072, qkv=9216, mlp=8192, rank=64)
SMALL = Shape(layers=4, width=256, qkv=512, mlp=512, rank=64)


class Adapter(nn.Module):
    """LoRA and gates of a shape, and nothing else."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        super().__init__()
        self.lora = nn.ParameterDict()
        self.gates = nn.ParameterDict()
        for layer in range(shape.layers):
            for name, (inputs, outputs) in shape.linears().items():
                a, b = (shape.rank, inputs), (outputs, shape.rank)
                self.lora[f"{layer}_{name}_A"] = torch.randn(a, device=device) * 0.02
                self.lora[f"{layer}_{name}_B"] = torch.randn(b, device=device) * 0.02
            theta = (shape.width // BLOCK, SKEW_NUMBERS)
            self.gates[f"{layer}_theta"] = torch.randn(theta, device=device) * 0.02


def make_optimizer(model: Adapter, *, paged: bool) -> GroupedAdamW:
    """Groups as the training has them, with states of one step."""
    lora, gates = list(model.lora.values()), list(model.gates.values())
    groups = [
        {"params": lora, "lr": 2e-4, "weight_decay": 0.0, "optim_bits": 8},
        {"params": gates, "lr": 1e-2, "weight_decay": 0.0, "optim_bits": 32},
    ]
    optimizer = GroupedAdamW(groups, optim_bits=8, is_paged=paged)
    for parameter in (*lora, *gates):
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


class Work:
    """Products of matrices, one after another, and how many have been finished a second."""

    def __init__(self, device: torch.device, size: int) -> None:
        self._device = device
        self._a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
        self._b = torch.randn(size, size, device=device, dtype=torch.bfloat16)

    def settle(self) -> None:
        """Wait for the device."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def pace(self, going: Callable[[], bool]) -> float:
        """Products a second for as long as `going` says so; one at least."""
        count, began = 0, time.monotonic()
        while count == 0 or going():
            for _ in range(8):
                torch.matmul(self._a, self._b)
            self.settle()
            count += 8
        return count / (time.monotonic() - began)


def for_seconds(seconds: float) -> Callable[[], bool]:
    """True until so much time has passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def measure(
    shape: Shape, device: torch.device, rounds: int, *, paged: bool, work_size: int
) -> dict[str, Any]:
    """Checkpoints of a made-up training; the last one is read back and compared."""
    model = Adapter(shape, device)
    optimizer = make_optimizer(model, paged=paged)
    names = parameter_names(model)

    def snapshot(step: int) -> Snapshot:
        return Snapshot(
            step=step,
            identity={"shape": str(shape)},
            weights={name: p.detach() for name, p in model.named_parameters()},
            optimizer=optimizer_state(optimizer, names),
            schedule={},
            trainer={},
            counters={},
            marks={},
            course={},
        )

    work, told = Work(device, work_size), list[Written]()
    alone, beside = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder), keep=2)
        with CheckpointWriter(store, device) as writer:
            writer.reserve(snapshot(0))
            for step in range(1, rounds + 1):
                alone.append(work.pace(for_seconds(0.5)))
                optimizer.step()
                work.settle()
                writer.submit(partial(snapshot, step), lambda: None, told.append)
                beside.append(work.pace(lambda step=step: len(told) < step))  # type: ignore[misc]
        equal = _same(read_checkpoint(store.path(rounds)), snapshot(rounds))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tensors": len(list(model.parameters())),
        "size_bytes": told[-1].size_bytes,
        "stall_s": [made.stall_s for made in told],
        "stall_s_median": statistics.median(made.stall_s for made in told),
        "stall_s_max": max(made.stall_s for made in told),
        "write_s_median": statistics.median(made.write_s for made in told),
        "pace_while_writing": statistics.median(beside) / statistics.median(alone),
        "read_back_equal": equal,
    }


def _same(read: Snapshot, living: Snapshot) -> bool:
    weights = all(torch.equal(read.weights[n], w.cpu()) for n, w in living.weights.items())
    states = all(
        torch.equal(read.optimizer[name][key], value.cpu())
        for name, state in living.optimizer.items()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    )
    return weights and states


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true", help="a small adapter")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    device = torch.device(arguments.device, 0 if arguments.device == "cuda" else None)
    on_gpu = device.type == "cuda"
    shape = SMALL if arguments.small else PHI_3_5_MINI
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "torch": torch.__version__,
    }
    for kind in ("adamw_8bit", "paged_adamw_8bit") if on_gpu else ("adamw_8bit",):
        size = 4096 if on_gpu else 256
        result[kind] = measure(
            shape, device, arguments.rounds, paged=kind.startswith("paged"), work_size=size
        )
    text = json.dumps(result, indent=2)
    print(text)
    arguments.out.write_text(text + "\n")
    longest = max(value["stall_s_max"] for value in result.values() if isinstance(value, dict))
    equal = all(value["read_back_equal"] for value in result.values() if isinstance(value, dict))
    judged = on_gpu and not arguments.small
    return 0 if equal and (longest <= BAR_S or not judged) else 1


if __name__ == "__main__":
    sys.exit(main())

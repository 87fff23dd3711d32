"""What a round of `train_throughput.py` consists of, wherever it runs: rows, arguments, a clock.

Imported by the process of a peer that patches transformers too, after its patches: so nothing but
torch and transformers may be imported here.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import TrainerCallback

GPU = torch.cuda.is_available()
LORA_RANK, LORA_ALPHA = 64, 128


class Rows(Dataset[dict[str, Tensor]]):
    """Full rows for the stock Trainer."""

    def __init__(self, ids: Tensor) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self._ids[index], "labels": self._ids[index]}


class Clock(TrainerCallback):
    """The time of all steps but the first; in between nobody is made to wait for the device."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.steps = 0

    def on_step_end(self, arguments: Any, *_: Any, **__: Any) -> None:
        """After the first step and the last wait for the device and note the time."""
        self.steps += 1
        if self.steps not in (1, arguments.max_steps):
            return
        if GPU:
            torch.cuda.synchronize()
        self.ended = time.perf_counter()
        if self.steps == 1:
            self.began = self.ended

    @property
    def step_s(self) -> float:
        """Mean time of a step."""
        return (self.ended - self.began) / (self.steps - 1)


def stock_arguments(folder: Path, steps: int, rows: int) -> dict[str, Any]:
    """What all trainers but ours are told."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": rows,
        "learning_rate": 2e-4,
        "bf16": True,
        "use_cpu": not GPU,
        "optim": "adamw_bnb_8bit",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }

"""How long a run is, how its rates go, what its Trainer is told, and the seed of each step."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import TrainingArguments, get_scheduler

from so8t_core.contract.settings.train import TrainSettings

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def step_count(settings: TrainSettings, samples: int) -> int:
    """Optimiser steps of a whole run over so many samples an epoch."""
    if settings.max_steps is not None:
        return settings.max_steps
    per_step = settings.micro_batch * settings.accumulation_steps
    return max(1, math.ceil(samples * settings.epochs / per_step))


def build_schedule(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The course of each group's learning rate: LoRA's, then the gates' where there are any."""
    lora = _course(settings.schedule, settings.warmup_fraction, steps)
    gate = _course(
        settings.schedule if settings.gate_schedule == "same" else settings.gate_schedule,
        settings.warmup_fraction
        if settings.gate_warmup_fraction is None
        else settings.gate_warmup_fraction,
        steps,
    )
    return torch.optim.lr_scheduler.LambdaLR(optimizer, [lora, gate][: len(optimizer.param_groups)])


def lower_rates(schedule: torch.optim.lr_scheduler.LambdaLR, factor: float) -> None:
    """Multiply all rates that are still to come; the schedule's own state keeps it."""
    schedule.base_lrs = [rate * factor for rate in schedule.base_lrs]


def _course(schedule: str, warmup_fraction: float, steps: int) -> Callable[[int], float]:
    """The factor of a learning rate by finished steps, as transformers computes it.

    It begins at 0 where there is a warm-up; the last step is at the peak at least, so that a run of
    one step trains.
    """
    alone = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    warming = min(math.ceil(steps * warmup_fraction), steps - 1)
    built = get_scheduler(_SCHEDULES[schedule], alone, warming, num_training_steps=steps)
    factor: Callable[[int], float] = built.lr_lambdas[0]
    return factor


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed every random generator for the step that follows `step` finished ones.

    Each rank of several draws its own dropout; the first one draws what a training alone does.
    """
    of_rank = f":rank:{rank}" if rank else ""
    content = hashlib.sha256(f"{seed}:step:{step}{of_rank}".encode()).digest()
    number = int.from_bytes(content[:8], "big") >> 1
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)  # CUDA's generators as well


def training_arguments(
    folder: Path,
    settings: TrainSettings,
    steps: int,
    seed: int,
    device: torch.device,
    *,
    bf16: bool,
    ranks: int = 1,
) -> TrainingArguments:
    """The Trainer's arguments; saving, evaluating and logging are the SO8TTrainer's own.

    The forward passes of a step are shared out among the ranks, so that a step has the same samples
    on any number of GPUs.
    """
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.accumulation_steps // ranks,
        ddp_find_unused_parameters=False,
        learning_rate=settings.learning_rate,
        max_grad_norm=settings.max_grad_norm,
        bf16=bf16,
        use_cpu=device.type == "cpu",
        seed=seed,
        logging_strategy="no",
        logging_steps=1,  # as in checkpoints of before; the Trainer warns of another number
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=device.type == "cuda",
        # nobody waits for copies of pinned memory
        accelerator_config={"non_blocking": device.type == "cuda"},
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # never DataParallel; several GPUs need a launcher
    return arguments

"""`so8t train --estimate`: what a training would take of a GPU's memory, before it starts."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, UsageError
from so8t_core.contract.runs import find_run, run_settings
from so8t_core.contract.settings import Settings
from so8t_core.contract.settings.model import STARTER, TINY
from so8t_core.contract.settings.train import TrainSettings

_NAME_IT = "memory of a card: --set train.memory_gb=24"


def print_estimate(arguments: Namespace) -> int:
    """Print parts and peak for the settings as they are, or as `auto` would choose them.

    The GPU that is estimated for is one with Liger and our joined operations, as `auto` means them.
    What may be filled is `train.memory_gb`, else what is free on this machine's GPU now; exit code
    4 where it does not fit. Raises `UsageError` where something is to be chosen and neither is
    known: the choice without a limit is nobody's.
    """
    from so8t_core.model.weights import read_config
    from so8t_core.training.fitting import choose, shown_size
    from so8t_core.training.footprint import Means, ModelShape

    settings = _settings(arguments)
    train = settings.train
    memory_bytes = _limit(train)
    means = Means(
        element=4 if train.dtype == "float32" else 2,
        liger=train.liger != "off",
        fused=train.fused == "on" or (train.fused == "auto" and not train.stock_int8),
    )
    shape = ModelShape.of(read_config(_model(settings)), gates=train.train_gates)
    length = train.max_length_tokens
    choice, estimate = choose(
        shape,
        train,
        means,
        length=length,
        memory_bytes=10**15 if memory_bytes is None else memory_bytes,
        ranks=arguments.gpus or train.gpus,
    )
    if arguments.json:
        facts = {**asdict(choice), "parts": dict(estimate.parts), "memory_bytes": memory_bytes}
        if memory_bytes is None:
            facts["why"] = None  # it would tell of a limit
        print(json.dumps(facts, indent=2))
    else:
        for name, size in estimate.parts.items():
            print(f"{name:<12} {shown_size(size, 2):>11}")
        print(f"{'peak':<12} {shown_size(choice.estimate_bytes, 2):>11}, at {choice.estimate_at}")
        if memory_bytes is None:
            print(f"{'may fill':<12} {'no limit':>11}: here is no GPU, and no {_NAME_IT}")
        else:
            whole = "what is free" if train.memory_gb == "auto" else f"{train.memory_gb:g} GB"
            print(f"{'may fill':<12} {shown_size(memory_bytes, 2):>11} of {whole}")
        print(
            f"with {choice.micro_batch_size} x {length} tokens in a forward pass, "
            f"{choice.accumulation_steps} passes in a step, {choice.recomputed_share:.0%} of the "
            "layers recomputed"
        )
    return EXIT_DONE if memory_bytes is None or choice.fits else EXIT_FAILED


def _limit(train: TrainSettings) -> int | None:
    """Bytes that may be filled; None where nobody knows, and nothing depends on it."""
    import torch

    from so8t_core.training.fitting import free_bytes

    if train.memory_gb != "auto" or torch.cuda.is_available():
        return free_bytes(train, torch.device("cuda"))
    if "auto" in (train.micro_batch_size, train.gradient_checkpointing):
        raise UsageError(
            "What `auto` stands for depends on the memory of the GPU: here is none, and "
            "train.memory_gb is auto.",
            where="train.micro_batch_size, train.gradient_checkpointing",
            hint=f"Name the {_NAME_IT}.",
        )
    return None


def _settings(arguments: Namespace) -> Settings:
    if arguments.in_run is not None:
        return run_settings(find_run(arguments.in_run, arguments.runs_dir))
    from so8t_core.contract.config import load_settings

    return load_settings(arguments.config, arguments.set, section="train")


def _model(settings: Settings) -> Path:
    """The folder whose sizes count; a gated checkpoint, or the base that it will be made from."""
    if settings.train.model_path is not None:
        return settings.train.model_path
    base = Path(settings.model.base)
    if base.is_dir():
        return base
    if settings.model.base in (STARTER, TINY):
        from so8t_core.model.base import resolve_base

        return resolve_base(settings.model, seed=settings.seed)
    raise UsageError(
        "There is no model whose size could be read.",
        where=f"model.base: {settings.model.base}",
        hint="Name a folder with a config.json as train.model_path or model.base.",
    )

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


def print_estimate(arguments: Namespace) -> int:
    """Print parts and peak for the settings as they are, or as `auto` would choose them.

    The GPU that is estimated for is one with Liger and our joined operations, as `auto` means them.
    Exit code 4 where it does not fit `train.memory_gb`.
    """
    from so8t_core.model.weights import read_config
    from so8t_core.training.fitting import choose, shown_size, usable_bytes
    from so8t_core.training.footprint import Means, ModelShape

    settings = _settings(arguments)
    train = settings.train
    if train.memory_gb == "auto":
        memory_bytes = 10**15  # nothing to compare with
    else:
        memory_bytes = usable_bytes(round(train.memory_gb * 1e9))
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
        memory_bytes=memory_bytes,
        ranks=arguments.gpus or train.gpus,
    )
    limited = train.memory_gb != "auto"
    if arguments.json:
        facts = {**asdict(choice), "parts": dict(estimate.parts)}
        print(json.dumps(facts if limited else {**facts, "memory_bytes": None}, indent=2))
    else:
        for name, size in estimate.parts.items():
            print(f"{name:<12} {shown_size(size, 2):>11}")
        print(f"{'peak':<12} {shown_size(choice.estimate_bytes, 2):>11}, at {choice.estimate_at}")
        if limited:
            print(f"{'may fill':<12} {shown_size(memory_bytes, 2):>11} of {train.memory_gb:g} GB")
        print(
            f"with {choice.micro_batch_size} x {length} tokens in a forward pass, "
            f"{choice.accumulation_steps} passes in a step, {choice.recomputed_share:.0%} of the "
            "layers recomputed"
        )
    return EXIT_DONE if choice.fits or not limited else EXIT_FAILED


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

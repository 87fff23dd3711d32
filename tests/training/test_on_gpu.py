"""The train phase on a GPU. On a machine with one: python -m pytest tests/training/test_on_gpu.py"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.phases.base import HardPause
from tests.training.trial import PlannedGate, context, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_GPU: dict[str, Any] = {
    "device": "cuda",
    "optimizer": "adamw_8bit",
    "gradient_checkpointing": True,
}


@pytest.mark.parametrize("storage", ["int8", "bf16"])
def test_a_paused_training_ends_with_the_bits_of_an_uninterrupted_one(
    new_run: Callable[[str], Path], storage: str
) -> None:
    settings = {**ON_GPU, "base_storage": storage}
    straight = train(context(new_run("straight"), **settings))
    root = new_run("paused")
    for pause_at in (5, 9):
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=pause_at), **settings))
    resumed = train(context(root, **settings))
    assert resumed.digest == straight.digest
    assert resumed.figures["gate_kernel_fallbacks"] == 0


def test_both_int8_products_train(new_run: Callable[[str], Path]) -> None:
    losses = [
        train(context(new_run(product), int8_matmul=product, **ON_GPU)).figures["final_loss"]
        for product in ("dequantized", "llm_int8")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)

"""The train phase on a GPU. On a machine with one: python -m pytest tests/training/test_on_gpu.py"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.model import ops
from so8t_core.phases.base import HardPause
from so8t_core.training.series import read_series
from tests.training.test_ranks import end, in_two_processes, steps
from tests.training.trial import PlannedGate, context, said, train

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
    before = sum(ops.fallbacks().values())
    straight = train(context(new_run("straight"), **settings))
    root = new_run("paused")
    for pause_at in (5, 9):
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=pause_at), **settings))
    resumed = train(context(root, **settings))
    assert resumed.digest == straight.digest
    assert resumed.figures["gate_kernel_fallbacks"] == before


def test_deterministic_trainings_of_long_rows_have_the_same_bits(
    new_run: Callable[[str], Path],
) -> None:
    settings: dict[str, Any] = {
        **ON_GPU,
        "deterministic": True,
        "packing": True,
        "max_length_tokens": 512,
        "max_steps": 3,
        "instruction_fraction": 50.0,
        "eval_max_samples": 2,
    }
    digests = {train(context(new_run(name), **settings)).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_pet_sees_the_hidden_states_of_the_quick_path(new_run: Callable[[str], Path]) -> None:
    """Joined operations and Liger, where they are there, leave the last norm a module of its own."""
    settings = {"pet_weight": 0.3, "lora_dropout": 0.0, "max_steps": 2, "packing": True}
    values = []
    for name, more in (  # Liger's position embedding stays in the process, and needs a device
        ("processor", {"base_storage": "float32", "optimizer": "adamw", "device": "cpu"}),
        ("device", {**ON_GPU, "base_storage": "bf16"}),
    ):
        root = new_run(name)
        train(context(root, **settings, **more))
        values.append(next(read_series(root / "train" / "series.jsonl"))["pet"])
    assert values[1] == pytest.approx(values[0], rel=0.03)


def test_both_int8_products_train(new_run: Callable[[str], Path]) -> None:
    losses = [
        train(context(new_run(product), int8_matmul=product, **ON_GPU)).figures["final_loss"]
        for product in ("dequantized", "llm_int8")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_checkpoints_come_from_pinned_memory_and_hold_the_device_s_bits(
    new_run: Callable[[str], Path],
) -> None:
    for optimizer in ("adamw_8bit", "paged_adamw_8bit"):
        settings = {**ON_GPU, "optimizer": optimizer, "save_every_steps": 1}
        whole = context(new_run(f"{optimizer}-whole"), **settings)
        outcome = train(whole)
        assert not [event for event in said(whole, "fallback") if "pinned" in event["what"]]
        root = new_run(optimizer)
        for pause_at in (9, 6, 12):
            with pytest.raises(HardPause):
                train(context(root, PlannedGate(pause_at=pause_at), **settings))
        assert train(context(root, **settings)).digest == outcome.digest


def test_memory_that_runs_out_on_the_device_halves_the_pass(new_run: Callable[[str], Path]) -> None:
    """A real cap on this process's share of the device, below what a whole micro-batch took."""
    settings: dict[str, Any] = {
        **ON_GPU,
        "packing": True,
        "max_length_tokens": 1024,
        "gradient_checkpointing": False,
        "micro_batch_size": 32,
        "accumulation_steps": 1,
        "max_steps": 2,
        "instruction_fraction": 200.0,
        "eval_max_samples": 2,
    }
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    roomy = train(context(new_run("roomy"), **settings))
    assert roomy.figures["rows_a_pass"] == 32
    cap = 0.7 * torch.cuda.max_memory_allocated()
    gc.collect()
    torch.cuda.empty_cache()
    ctx = context(new_run("short"), **settings)
    torch.cuda.set_per_process_memory_fraction(
        cap / torch.cuda.get_device_properties(0).total_memory
    )
    try:
        short = train(ctx)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 1 <= short.figures["rows_a_pass"] < 32
    assert any("a pass" in event["what"] for event in said(ctx, "fallback"))
    assert short.figures["final_loss"] == pytest.approx(roomy.figures["final_loss"], rel=0.02)


def test_samples_change_no_bit_on_the_device(new_run: Callable[[str], Path]) -> None:
    plain = train(context(new_run("plain"), **ON_GPU))
    ctx = context(new_run("sampled"), sample_prompts=("東京は？",), sample_max_tokens=4, **ON_GPU)
    assert train(ctx).digest == plain.digest
    assert len(said(ctx, "item")) == 4


@pytest.mark.parametrize("storage", ["int8", "nf4", "bf16"])
def test_recomputing_fewer_layers_changes_memory_and_no_loss(
    new_run: Callable[[str], Path], storage: str
) -> None:
    """Our own products keep what the backward pass needs, with and without checkpointing."""
    losses = []
    for share in (True, 0.5, False):
        settings = {**ON_GPU, "base_storage": storage, "gradient_checkpointing": share}
        outcome = train(context(new_run(f"share{share}"), **settings))
        assert outcome.figures["recomputed_share"] == float(share)
        assert outcome.figures["memory_peak_bytes"] > 0
        losses.append(outcome.figures["final_loss"])
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=2e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize(
    ("storage", "parallel"),
    [("int8", "ddp"), ("nf4", "ddp"), ("bf16", "ddp"), ("nf4", "fsdp"), ("bf16", "fsdp")],
)
def test_two_gpus_train_as_one_and_pause_to_the_bit(
    tmp_path: Path, new_run: Callable[[str], Path], storage: str, parallel: str
) -> None:
    settings = {
        **ON_GPU,
        "base_storage": storage,
        "parallel": parallel,
        "lora_dropout": 0.0,
        "accumulation_steps": 4,
        "max_steps": 4,
        "sample_prompts": [],
    }
    one, two, paused = new_run("one"), new_run("two"), new_run("paused")
    train(context(one, **settings))
    on_two = {**settings, "gpus": 2}
    in_two_processes(
        tmp_path,
        [
            ("straight", two, {}, on_two),
            ("pausing", paused, {"pause_at": 8}, on_two),
            ("going-on", paused, {}, on_two),
        ],
    )
    assert [line["tokens"] for line in steps(two)] == [line["tokens"] for line in steps(one)]
    for line, wanted in zip(steps(two), steps(one), strict=True):
        assert line["loss"] == pytest.approx(wanted["loss"], rel=0.01)
        assert line["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=0.05)
    assert [end(paused, "pausing", rank)["end"] for rank in (0, 1)] == ["paused", "paused"]
    assert end(paused, "going-on")["digest"] == end(two, "straight")["digest"]

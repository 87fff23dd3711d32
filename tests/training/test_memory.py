from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.contract.errors import ResourceError
from so8t_core.phases.base import HardPause
from so8t_core.phases.standalone import RecordingEmitter
from so8t_core.training import examination
from so8t_core.training.checkpoint import read_checkpoint
from so8t_core.training.memory import Passes, lost_device_told
from so8t_core.training.optimizer import GroupedAdamW
from so8t_core.training.samples import SampleWriter
from so8t_core.training.series import read_series
from so8t_core.training.trainer import SO8TTrainer
from tests.training.trial import PlannedGate, context, said, train

NewRun = Callable[[str], Path]
WHOLE: dict[str, Any] = {"micro_batch_size": 4, "accumulation_steps": 2, "lora_dropout": 0.0}
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."


@contextmanager
def memory_for(monkeypatch: Any, rows: int, from_step: int = 3) -> Iterator[None]:
    """Memory runs out with more rows, from a step on: its second micro-batch, in the backward pass.

    By then the step's gradients are half gathered, also within that very backward pass.
    """
    honest = SO8TTrainer.compute_loss

    def short(self: SO8TTrainer, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        full = len(inputs["input_ids"]) > rows and self.state.global_step + 1 >= from_step
        if full and self._micro_batches:
            # the first layer's: the backward pass reaches it last
            lora = next(p for p in self.adapted.parameters() if p.requires_grad)
            handle = lora.register_hook(lambda _: run_out(handle))
        return honest(self, model, inputs, *args, **kwargs)

    def run_out(handle: Any) -> None:
        handle.remove()
        raise torch.OutOfMemoryError(FULL)

    with monkeypatch.context() as patch:
        patch.setattr(SO8TTrainer, "compute_loss", short)
        yield


def lines(root: Path) -> list[dict[str, float]]:
    return list(read_series(root / "train" / "series.jsonl"))


def test_a_step_that_did_not_fit_is_taken_in_smaller_passes(
    new_run: NewRun, monkeypatch: Any
) -> None:
    roomy, short = new_run("roomy"), new_run("short")
    train(context(roomy, **WHOLE))
    ctx = context(short, **WHOLE)
    with memory_for(monkeypatch, rows=1):
        outcome = train(ctx)
    assert outcome.figures["rows_a_pass"] == 1
    told = [event for event in said(ctx, "fallback") if "a pass" in event["what"]]
    assert [event["what"].partition(" a pass")[0] for event in told] == ["2 samples", "1 samples"]
    assert told[0]["why"] == f"memory ran out in step 3: {FULL.splitlines()[0]}"
    for whole, cut in zip(lines(roomy), lines(short), strict=True):
        assert cut["tokens"] == whole["tokens"]
        for name in ("loss", "task_loss", "grad_norm"):
            assert cut[name] == pytest.approx(whole[name], rel=2e-3), whole["step"]
    assert lines(roomy)[:2] == lines(short)[:2]  # before memory ran out: the same bits


def test_smaller_passes_last_and_are_exact_under_resume(new_run: NewRun, monkeypatch: Any) -> None:
    settings = {**WHOLE, "lora_dropout": 0.05}
    with memory_for(monkeypatch, rows=2):
        outcome = train(context(new_run("straight"), **settings))
    root = new_run("interrupted")
    with memory_for(monkeypatch, rows=2), pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=12), **settings))
    resumed = context(root, **settings)
    assert train(resumed).digest == outcome.digest  # memory would suffice now; it cuts all the same
    assert lines(root) == lines(root.parent / "straight")
    assert not said(resumed, "fallback")


def test_one_row_that_does_not_fit_ends_with_a_word_and_an_intact_checkpoint(
    new_run: NewRun, monkeypatch: Any
) -> None:
    root = new_run("hopeless")
    ctx = context(root, **WHOLE)
    with (
        memory_for(monkeypatch, rows=0),
        pytest.raises(ResourceError, match="Memory ran out with one sample in a pass") as caught,
    ):
        train(ctx)
    assert caught.value.hint is not None
    assert "In a new run lower train.max_length_tokens" in caught.value.hint
    assert said(ctx, "checkpoint")[-1]["step"] == 2
    assert read_checkpoint(root / "train" / "checkpoints" / "step-00000002").step == 2


def test_an_evaluation_that_does_not_fit_is_cut_as_well(new_run: NewRun, monkeypatch: Any) -> None:
    measure = examination.held_out_loss

    def short(*arguments: Any) -> Any:
        rows = arguments[3]
        return FULL.splitlines()[0] if rows > 2 else measure(*arguments)

    ctx = context(new_run("evaluation"), max_steps=1, **WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(examination, "held_out_loss", short)
        assert train(ctx).figures["rows_a_pass"] == 2
    assert any("the evaluation after step 0" in event["why"] for event in said(ctx, "fallback"))


def test_rows_are_halved_rounding_up_and_nothing_is_lost_in_cutting() -> None:
    passes = Passes(5, RecordingEmitter(), {})
    batch = {"input_ids": torch.arange(15).view(5, 3), "labels": torch.arange(15).view(5, 3)}
    seen = []
    while True:
        parts = list(passes.cut(batch))
        assert all(len(part["input_ids"]) <= passes.rows for part in parts)
        for name, tensor in batch.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), tensor)
        seen.append(passes.rows)
        passes = Passes(5, RecordingEmitter(), passes.state())
        if passes.rows == 1:
            break
        passes.halve("step 1", "full")
    assert seen == [5, 3, 2, 1]


def test_a_lost_gpu_ends_with_the_last_checkpoint_intact(new_run: NewRun, monkeypatch: Any) -> None:
    begin = SO8TTrainer.begin_step

    def lost(self: SO8TTrainer) -> None:
        if self.state.global_step == 2:
            raise RuntimeError("CUDA error: unspecified launch failure\nkernel errors might be ...")
        begin(self)

    ctx = context(new_run("lost"), max_steps=3, save_every_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr(SO8TTrainer, "begin_step", lost)
        with pytest.raises(ResourceError, match="The GPU was lost: CUDA error") as caught:
            train(ctx)
    assert "so8t resume lost" in (caught.value.hint or "")
    assert said(ctx, "checkpoint")[-1]["step"] == 2


@pytest.mark.parametrize(
    "message",
    ["CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"],
)
def test_a_broken_gpu_is_told_as_a_lost_one(message: str) -> None:
    with pytest.raises(ResourceError, match="The GPU was lost"), lost_device_told("run"):
        raise RuntimeError(message)


def test_other_errors_are_not_taken_for_a_lost_gpu() -> None:
    error = RuntimeError("shape mismatch")
    with pytest.raises(RuntimeError) as caught, lost_device_told("run"):
        raise error
    assert caught.value is error


def test_memory_that_ends_between_passes_is_told_with_what_can_be_done(
    new_run: NewRun, monkeypatch: Any
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(GroupedAdamW, "update_step", full)
        with pytest.raises(ResourceError, match="Memory ran out: CUDA out of memory") as caught:
            train(context(new_run("full"), max_steps=2))
    assert "so8t resume full" in (caught.value.hint or "")
    with monkeypatch.context() as patch:
        patch.setattr("so8t_core.phases.train.attach_adapter", full)
        with pytest.raises(ResourceError, match="does not fit on the GPU") as caught:
            train(context(new_run("large"), max_steps=2))
    assert "base_storage" in (caught.value.hint or "")


def test_a_sample_without_memory_costs_no_training(new_run: NewRun, monkeypatch: Any) -> None:
    settings = {"max_steps": 2, "sample_prompts": ("何ですか。",), "sample_max_tokens": 2}
    expected = train(context(new_run("roomy"), **settings)).digest

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SampleWriter, "_answer", full)
    ctx = context(new_run("full"), **settings)
    assert train(ctx).digest == expected
    told = [event["what"] for event in said(ctx, "fallback")]
    assert any("no answers to the sample questions" in what for what in told)

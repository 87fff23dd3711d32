"""Several ranks: two processes on CPU, joined by gloo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import HardPause
from so8t_core.training.ranks import Ranks, alone
from so8t_core.training.schedule import training_arguments
from so8t_core.training.series import read_series
from tests.training.trial import PlannedGate, context, make_run, train
from tests.training.two_processes import torchrun_two

PLAIN: dict[str, Any] = {
    "lora_dropout": 0.0,
    "accumulation_steps": 4,
    "max_steps": 4,
    "save_every_steps": 1,
    "sample_prompts": [],
    "rotation_size_weight": 0.1,
    "pet_weight": 0.2,
}
DROPPING: dict[str, Any] = {
    **PLAIN,
    "lora_dropout": 0.1,
    "gradient_checkpointing": 0.5,
    "packing": True,
    "fused": "on",
    "micro_batch_size": 1,
    "sample_prompts": ["首都は"],
    "sample_max_tokens": 4,
}
NewRun = Callable[[str], Path]
Plan = list[tuple[str, Path, dict[str, int], dict[str, Any]]]


def in_two_processes(folder: Path, plan: Plan) -> None:
    """Run a plan of (name, run, gate, settings), one after the other, on two ranks."""
    entries = [
        {"name": name, "root": str(root), "gate": gate, "settings": settings}
        for name, root, gate, settings in plan
    ]
    spec = folder / "spec.json"
    spec.write_text(json.dumps(entries))
    torchrun_two("tests.training.ranks_trial", str(spec))


def end(root: Path, name: str, rank: int = 0) -> dict[str, Any]:
    """How an entry ended on a rank."""
    found: dict[str, Any] = json.loads((root / f"{name}-{rank}.json").read_text())
    return found


def steps(root: Path) -> list[dict[str, float]]:
    return list(read_series(root / "train" / "series.jsonl"))


def require_same_within_rounding(found: Path, wanted: Path) -> None:
    """Equal samples in every step, and numbers equal but for the order of sums."""
    assert [line["tokens"] for line in steps(found)] == [line["tokens"] for line in steps(wanted)]
    for one, other in zip(steps(found), steps(wanted), strict=True):
        assert one == pytest.approx(other, rel=2e-4, abs=1e-6)
    weights, others = (
        load_file(root / "train" / "adapter" / "adapter_model.safetensors")
        for root in (found, wanted)
    )
    for name, weight in weights.items():
        # an 8-bit state may fall to the other side of a rounding border
        assert torch.allclose(weight, others[name], atol=2e-3), name
    evaluations = [
        list(read_series(root / "train" / "evaluations.jsonl")) for root in (found, wanted)
    ]
    for one, other in zip(*evaluations, strict=True):
        assert one == pytest.approx(other, rel=2e-4)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """The folder of the runs below: one start of two processes makes them all."""
    folder = tmp_path_factory.mktemp("ranks")
    runs = {
        name: make_run(folder / name, model)
        for name in (
            *("two", "whole", "paused", "growing", "shrinking", "one"),
            *("full", "shared", "parting", "plain"),
        )
    }
    torch.set_num_threads(1)
    train(context(runs["one"], **PLAIN))
    with pytest.raises(HardPause):
        train(context(runs["growing"], PlannedGate(pause_at=14), **PLAIN))
    two, eight = {**PLAIN, "gpus": 2}, {**DROPPING, "gpus": 2}
    full = {**eight, "base_storage": "float32"}
    parts = {"base_storage": "float32", "parallel": "fsdp"}
    shared = {**eight, **parts}
    in_two_processes(
        folder,
        [
            ("straight", runs["two"], {}, two),
            ("straight", runs["whole"], {}, eight),
            ("evaluating", runs["paused"], {"pause_at": 9}, eight),
            ("accumulating", runs["paused"], {"pause_at": 29}, eight),
            ("answering", runs["paused"], {"pause_at": 25}, eight),
            ("softly", runs["paused"], {"soft_at": 13}, eight),
            ("more", runs["growing"], {}, two),
            ("fewer", runs["shrinking"], {"pause_at": 23}, two),
            ("straight", runs["full"], {}, full),
            ("evaluating", runs["shared"], {"pause_at": 9}, shared),
            ("accumulating", runs["shared"], {"pause_at": 29}, shared),
            ("answering", runs["shared"], {"pause_at": 25}, shared),
            ("straight", runs["shared"], {}, shared),
            ("parting", runs["parting"], {"pause_at": 23}, {**two, **parts}),
        ],
    )
    train(context(runs["shrinking"], **PLAIN))
    for name in ("parting", "plain"):
        train(context(runs[name], **PLAIN, **parts))
    return folder


def test_two_ranks_train_as_one(session: Path) -> None:
    require_same_within_rounding(session / "two", session / "one")


def test_only_the_first_rank_speaks_and_writes(session: Path) -> None:
    root = session / "two"
    assert {"checkpoint", "metric", "progress"} <= set(end(root, "straight", 0)["events"])
    assert end(root, "straight", 1)["events"] == []
    assert end(root, "straight", 1)["digest"] == ""
    assert end(root, "straight", 1)["points"] == 0
    assert [end(root, "straight", rank)["encoded"] for rank in (0, 1)] == [1, 0]
    assert [end(session / "growing", "more", rank)["encoded"] for rank in (0, 1)] == [0, 0]
    assert not (root / "train" / "ranks" / "1" / "checkpoints").exists()
    assert not (root / "train" / "ranks" / "1" / "adapter").exists()
    assert not list((root / "train" / "ranks").rglob("*.safetensors"))


def test_pauses_on_two_ranks_change_no_bit(session: Path) -> None:
    """Hard ones in an evaluation, in an accumulation and in an answer, and a soft one."""
    whole, paused = session / "whole", session / "paused"
    for name in ("evaluating", "accumulating", "answering"):
        assert [end(paused, name, rank)["end"] for rank in (0, 1)] == ["paused", "paused"]
    assert end(paused, "evaluating")["last"]["message"] == "measuring held-out loss"
    assert end(paused, "accumulating")["last"]["done"] % 1 == 0.5
    assert end(paused, "answering")["last"]["message"] == "writing samples"
    assert end(paused, "softly")["held"] == 1
    assert end(paused, "softly")["resumes"] == 3
    assert end(paused, "softly")["digest"] == end(whole, "straight")["digest"]
    assert steps(paused) == steps(whole)


def test_a_sharded_base_changes_no_bit(session: Path) -> None:
    """Nor do pauses where every rank takes part: in an evaluation, a step and an answer."""
    whole, shared = session / "full", session / "shared"
    for name in ("evaluating", "accumulating", "answering"):
        assert [end(shared, name, rank)["end"] for rank in (0, 1)] == ["paused", "paused"]
        assert end(shared, name, 1)["events"] == []
    assert end(shared, "evaluating")["last"]["message"] == "measuring held-out loss"
    assert end(shared, "accumulating")["last"]["done"] % 1 == 0.5
    assert end(shared, "answering")["last"]["message"] == "writing samples"
    assert end(shared, "straight")["digest"] == end(whole, "straight")["digest"]
    assert steps(shared) == steps(whole)


def test_a_sharded_training_goes_on_alone(session: Path) -> None:
    """With the whole base on one rank, and the same samples in the same order."""
    assert end(session / "parting", "parting")["end"] == "paused"
    require_same_within_rounding(session / "parting", session / "plain")


def test_other_numbers_of_ranks_keep_the_order_of_samples(session: Path) -> None:
    """From one to two in the middle of the training, and from two to one."""
    for name, entry, expected in (("growing", "more", "done"), ("shrinking", "fewer", "paused")):
        assert end(session / name, entry)["end"] == expected
        require_same_within_rounding(session / name, session / "one")


def test_a_training_alone_agrees_with_itself() -> None:
    ranks = alone()
    assert (ranks.first, ranks.several) == (True, False)
    assert ranks.agree(3) == ranks.from_first(lambda: 3) == 3
    assert ranks.total(2.5, torch.device("cpu")) == 2.5


def test_more_gpus_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ResourceError, match="2 GPUs are asked for, 1 are visible"):
        Ranks.join("auto")


def test_the_passes_of_a_step_are_shared_out(tmp_path: Path) -> None:
    settings = TrainSettings(accumulation_steps=4, device="cpu")
    arguments = training_arguments(
        tmp_path, settings, 3, 0, torch.device("cpu"), bf16=False, ranks=2
    )
    assert arguments.gradient_accumulation_steps == 2

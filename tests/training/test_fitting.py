from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from so8t_core.cli import main
from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import HardPause
from so8t_core.phases.standalone import RecordingEmitter
from so8t_core.training.fitting import Choice, choose, cost, kept_choice, settle, usable_bytes
from so8t_core.training.footprint import Means, ModelShape
from tests.training.test_footprint import PHI
from tests.training.trial import PlannedGate, context, said, train

SHAPE = ModelShape.of(PHI, gates=True)
MEANS = Means(element=2, liger=True, fused=True)
CONFIGS = Path(__file__).parents[2] / "configs"
NewRun = Callable[[str], Path]


def chosen(memory_gb: float, ranks: int = 1, **settings: Any) -> Choice:
    train_settings = TrainSettings.model_validate(
        {"micro_batch_size": "auto", "gradient_checkpointing": "auto", **settings}
    )
    return choose(
        SHAPE,
        train_settings,
        MEANS,
        length=2048,
        memory_bytes=usable_bytes(round(memory_gb * 1e9)),
        ranks=ranks,
    )[0]


def test_more_memory_is_never_slower_and_always_fits() -> None:
    before = float("inf")
    for memory_gb in (10, 12, 16, 24, 32, 40, 48, 80):
        found = chosen(memory_gb)
        assert found.fits
        assert found.micro_batch_size * found.accumulation_steps == 16
        now = cost(found.micro_batch_size, 2048, found.recomputed_share)
        assert now <= before
        before = now
    assert chosen(10).recomputed_share == 1.0
    assert chosen(80).recomputed_share == 0.0


def test_what_is_set_is_not_varied() -> None:
    found = chosen(80, gradient_checkpointing=True)
    assert found.recomputed_share == 1.0
    assert found.micro_batch_size > 4
    found = chosen(24, micro_batch_size=2, accumulation_steps=8)
    assert (found.micro_batch_size, found.accumulation_steps) == (2, 8)


def test_the_reason_names_the_numbers_it_rests_on() -> None:
    why = chosen(12).why
    assert "GB estimated" in why
    assert "may be filled" in why
    assert "fastest of the" in why


def test_too_little_memory_is_an_error_with_the_least_that_is_needed() -> None:
    with pytest.raises(ResourceError, match=r"Nothing fits into 3.9 GB: the least of 25"):
        chosen(5)
    with pytest.raises(ResourceError, match=r"Nothing fits into 0.0 MB") as caught:
        chosen(0.5)
    assert "0.8 GB" in str(caught.value.hint)


def test_passes_are_shared_out_among_gpus_or_refused() -> None:
    assert chosen(80, ranks=2).accumulation_steps % 2 == 0
    for fixed in ({}, {"micro_batch_size": 2, "accumulation_steps": 8}):
        with pytest.raises(ResourceError, match="cannot be shared out among 3 GPUs"):
            chosen(80, ranks=3, **fixed)


def test_the_speed_model_gives_back_the_figures_that_it_comes_from() -> None:
    """Tokens/s at 4 x 2048 with none, half, all recomputed, and at 8 x 2048: the facts' table."""
    measured = {(4, 0.0): 20346, (4, 0.5): 16670, (4, 1.0): 14267, (8, 1.0): 15298}
    scale = measured[(4, 0.0)] * cost(4, 2048, 0.0)
    for (rows, share), rate in measured.items():
        assert scale / cost(rows, 2048, share) == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize(
    ("name", "memory_gb"), [("rtx3060_12gb", 12), ("rtx4090_24gb", 24), ("h100_80gb", 80)]
)
def test_a_profile_fits_its_card(name: str, memory_gb: int) -> None:
    settings = load_settings(CONFIGS / "profiles" / f"{name}.yaml").train
    assert settings.memory_gb == memory_gb
    choice, _ = choose(
        SHAPE,
        settings,
        MEANS,
        length=settings.max_length_tokens,
        memory_bytes=usable_bytes(memory_gb * 10**9),
    )
    assert choice.fits
    samples = choice.micro_batch_size * choice.accumulation_steps
    assert samples == 16


def test_a_choice_is_kept_and_a_smaller_card_is_told(tmp_path: Path) -> None:
    path = tmp_path / "choice.json"
    settings = TrainSettings.model_validate(
        {"micro_batch_size": "auto", "gradient_checkpointing": "auto"}
    )

    def settled(memory_gb: float, ranks: int = 1) -> tuple[Choice, RecordingEmitter]:
        emit = RecordingEmitter()
        memory = usable_bytes(round(memory_gb * 1e9))
        choice = settle(
            path, SHAPE, settings, MEANS, length=2048, memory_bytes=memory, ranks=ranks, emit=emit
        )
        return choice, emit

    first, emit = settled(80)
    assert kept_choice(path) == first
    assert [event["level"] for _, event in emit.events] == ["info"]
    again, emit = settled(24)
    assert (again.micro_batch_size, again.recomputed_share) == (
        first.micro_batch_size,
        first.recomputed_share,
    )
    assert not again.fits
    assert [event["level"] for _, event in emit.events] == ["warning"]
    with pytest.raises(ResourceError, match="2 forward passes of a step cannot be shared"):
        settled(80, ranks=4)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        settled(80)


def test_a_training_on_auto_resumes_with_what_it_chose(new_run: NewRun) -> None:
    """A smaller card at the resume changes no number."""
    auto = {
        "micro_batch_size": "auto",
        "gradient_checkpointing": "auto",
        "accumulation_steps": 4,
        "max_steps": 2,
    }
    whole = train(context(new_run("whole"), memory_gb=4, **auto))
    root = new_run("resumed")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=5), memory_gb=4, **auto))
    ctx = context(root, memory_gb=0.8, **auto)
    resumed = train(ctx)
    assert resumed.digest == whole.digest
    assert resumed.figures["micro_batch_size"] == whole.figures["micro_batch_size"] == 4
    assert resumed.figures["recomputed_share"] == 0.0
    assert [event for event in said(ctx, "log") if event["level"] == "warning"]


def test_checkpointing_takes_a_share_or_a_word() -> None:
    for given, share in ((True, 1.0), (False, 0.0), (0.5, 0.5), (0.25, 0.25)):
        settings = TrainSettings.model_validate({"gradient_checkpointing": given})
        assert settings.recomputed_share == share
    for bad in (1.5, -0.1, "half"):
        with pytest.raises(ValidationError):
            TrainSettings.model_validate({"gradient_checkpointing": bad})
    with pytest.raises(ValueError, match="not been chosen"):
        _ = TrainSettings(gradient_checkpointing="auto").recomputed_share


def test_the_estimate_is_printed_without_a_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "phi3", **PHI}))
    line = ["train", "--estimate", "--json", "--set", f"model.base={tmp_path}"]
    assert main([*line, "--set", "train.memory_gb=12"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sum(facts["parts"].values()) == facts["estimate_bytes"] < 12e9
    assert main([*line, "--set", "train.memory_gb=4"]) == 4
    capsys.readouterr()
    assert main(["train", "--estimate", *line[3:], "--set", "train.memory_gb=12"]) == 0
    printed = capsys.readouterr().out
    assert f"{facts['parts']['base'] / 1e9:.2f} GB" in printed
    assert re.search(r"^buckets +0\.00 MB$", printed, re.MULTILINE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--estimate", *line[3:]]) == 0
    assert re.search(
        r"^may fill +no limit: .* --set train\.memory_gb", capsys.readouterr().out, re.M
    )
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out)["memory_bytes"] is None
    for name in ("micro_batch_size", "gradient_checkpointing"):
        auto = [*line, "--set", f"train.{name}=auto"]
        assert main(auto) == 2
        refused = capsys.readouterr()
        assert not refused.out
        assert "train.memory_gb=24" in refused.err
        assert main([*auto, "--set", "train.memory_gb=12"]) == 0
        capsys.readouterr()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (12 * 10**9, 24 * 10**9))
    assert main(auto) == 0
    assert json.loads(capsys.readouterr().out)["memory_bytes"] == round(12e9 * 0.92)
    monkeypatch.undo()
    assert main(["train", "--estimate", "--set", "model.base=owner/name"]) == 2
    assert "could be read" in capsys.readouterr().err

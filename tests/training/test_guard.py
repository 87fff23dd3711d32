from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from so8t_core.contract.errors import PhaseError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import HardPause
from so8t_core.training.checkpoint import read_checkpoint
from so8t_core.training.guard import MEMORY_STEPS, StepGuard, require_finite
from so8t_core.training.series import read_series
from so8t_core.training.trainer import SO8TTrainer
from tests.training.trial import PlannedGate, context, said, train

NewRun = Callable[[str], Path]


@contextmanager
def broken_at(monkeypatch: Any, factors: dict[int, float]) -> Iterator[None]:
    """The loss of each micro-batch of these steps is multiplied by their factor."""
    honest = SO8TTrainer.compute_loss

    def broken(self: SO8TTrainer, *args: Any, **kwargs: Any) -> Any:
        loss = honest(self, *args, **kwargs)
        return loss * factors.get(self.state.global_step + 1, 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(SO8TTrainer, "compute_loss", broken)
        yield


def lines(root: Path) -> list[dict[str, float]]:
    return list(read_series(root / "train" / "series.jsonl"))


def judged(settings: dict[str, Any], steps: list[tuple[float, float]]) -> list[str | None]:
    guard = StepGuard.from_settings(TrainSettings.model_validate(settings), "one", {})
    verdicts = []
    for number, (loss, norm) in enumerate(steps, start=1):
        guard = StepGuard.from_settings(
            guard.settings, "one", guard.state()
        )  # as if resumed each time
        verdicts.append(guard.judge(number, loss, norm))
    return verdicts


USUAL = [(2.0, 1.0)] * MEMORY_STEPS


@pytest.mark.parametrize(
    ("loss", "norm", "told"),
    [
        (math.nan, 1.0, "loss of step 21 is nan"),
        (2.0, math.inf, "gradient norm of step 21 is inf"),
        (9.0, 1.0, "loss of step 21 is 9, 4.5 times the average"),
        (2.0, 51.0, "gradient norm of step 21 is 51, 51.0 times the average"),
        (7.9, 49.0, None),
    ],
)
def test_what_is_bad(loss: float, norm: float, told: str | None) -> None:
    settings = {"bad_step": "skip", "loss_explosion": 4, "grad_norm_explosion": 50}
    verdict = judged(settings, [*USUAL, (loss, norm)])[-1]
    assert (verdict is None) == (told is None)
    assert verdict is None or (told or "") in verdict
    unlimited = judged({"bad_step": "skip"}, [*USUAL, (loss, norm)])[-1]
    assert (unlimited is None) == (math.isfinite(loss) and math.isfinite(norm))
    early = judged(settings, [*USUAL[1:], (loss, norm)])[-1]  # no average to tell by yet
    assert (early is None) == (math.isfinite(loss) and math.isfinite(norm))


def test_an_average_of_nothing_judges_nothing() -> None:
    settings = {"bad_step": "skip", "loss_explosion": 4}
    assert judged(settings, [(0.0, 1.0)] * MEMORY_STEPS + [(0.5, 1.0)])[-1] is None


def test_a_bad_step_does_not_move_the_average_and_patience_has_limits() -> None:
    settings = {"bad_step": "skip", "loss_explosion": 4, "max_bad_steps_in_a_row": 2}
    bad = (9.0, 1.0)
    verdicts = judged(settings, [*USUAL, bad, bad, (2.0, 1.0), bad, bad])
    assert [v is None for v in verdicts[-5:]] == [False, False, True, False, False]
    with pytest.raises(PhaseError, match="bad step number 3 in a row"):
        judged(settings, [*USUAL, bad, bad, bad])
    with pytest.raises(PhaseError, match="bad step number 3"):
        judged({**settings, "max_bad_steps": 2}, [*USUAL, bad, (2, 1), bad, (2, 1), bad])
    with pytest.raises(PhaseError, match=r"loss of step 1 is nan"):
        judged({}, [(math.nan, 1.0)])
    with pytest.raises(PhaseError, match=r"rotation angle of step 3 is inf"):
        require_finite({"loss": 1.0, "rotation_angle": math.inf}, "step 3")


def test_a_step_left_out_changes_neither_weights_nor_optimiser(
    new_run: NewRun, monkeypatch: Any
) -> None:
    root = new_run("skipped")
    ctx = context(root, bad_step="skip", save_every_steps=1, keep_checkpoints=9)
    with broken_at(monkeypatch, {3: math.nan, 5: math.inf}):
        outcome = train(ctx)
    folder = root / "train" / "checkpoints"
    for skipped in (3, 5):
        before, after, later = (
            read_checkpoint(folder / f"step-{skipped + n:08d}") for n in (-1, 0, 1)
        )
        for name in ("weights.safetensors", "optimizer.safetensors"):
            one, two = (load_file(folder / f"step-{skipped + n:08d}" / name) for n in (-1, 0))
            assert all(torch.equal(one[key], two[key]) for key in one)
        assert before.optimizer.keys() == after.optimizer.keys()
        assert all(
            before.optimizer[name]["step"] == after.optimizer[name]["step"]
            for name in before.optimizer
        )
        assert after.schedule["rates"] != before.schedule["rates"]  # the schedule goes on
        assert not torch.equal(*(one.weights[min(one.weights)] for one in (after, later)))
    steps = lines(root)
    assert [line["step"] for line in steps if "skipped" in line] == [3, 5]
    assert "loss" not in steps[2]
    assert all(math.isfinite(value) for line in steps for value in line.values())
    assert (outcome.figures["bad_steps"], outcome.figures["rate_back_offs"]) == (2, 0)
    warnings = [line["message"] for line in said(ctx, "log") if line["level"] == "warning"]
    warnings = [message for message in warnings if "step" in message]  # not those of data
    assert warnings[0] == "The loss of step 3 is nan. It is left out."


def test_backing_off_lowers_all_rates_for_good_and_is_exact_under_resume(
    new_run: NewRun, monkeypatch: Any, straight: Any
) -> None:
    whole, _, _ = straight
    factors = {2: math.nan, 4: math.nan}
    settings: dict[str, Any] = {"bad_step": "back_off", "back_off_factor": 0.25}
    with broken_at(monkeypatch, factors):
        outcome = train(context(new_run("straight"), **settings))
        root = new_run("interrupted")
        for point in (10, 8, 5):
            with pytest.raises(HardPause):
                train(context(root, PlannedGate(pause_at=point), **settings))
        again = train(context(root, **settings))
    assert again.digest == outcome.digest
    straight_root = root.parent / "straight"
    assert lines(root) == lines(straight_root)
    assert outcome.figures["rate_back_offs"] == 2
    for name in ("learning_rate", "gate_learning_rate"):
        pairs = list(zip(lines(root), lines(whole), strict=True))[1:]  # the first rate is 0
        shares = [a[name] / b[name] for a, b in pairs]
        assert shares == pytest.approx([1, 0.25, 0.25, 0.0625, 0.0625, 0.0625], abs=1e-9)


def test_too_many_bad_steps_end_with_the_last_checkpoint_intact(
    new_run: NewRun, monkeypatch: Any
) -> None:
    root = new_run("hopeless")
    settings: dict[str, Any] = {"bad_step": "skip", "max_bad_steps_in_a_row": 2}
    ctx = context(root, **settings)
    with (
        broken_at(monkeypatch, dict.fromkeys(range(4, 8), math.nan)),
        pytest.raises(PhaseError, match=r"loss of step 6 is nan.*in a row"),
    ):
        train(ctx)
    assert said(ctx, "checkpoint")[-1]["step"] == 4
    assert train(context(root, **settings)).figures["bad_steps"] == 1

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from so8t_core.contract.errors import CheckpointError, DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import HardPause
from so8t_core.training.adapter import weights_digest
from so8t_core.training.best import BestWatch
from so8t_core.training.series import read_series
from tests.training.trial import PlannedGate, context, said, train

NewRun = Callable[[str], Path]
# so high a rate that the held-out loss of this trial rises again
OVERSHOOTING: dict[str, Any] = {
    "learning_rate": 0.05,
    "schedule": "constant",
    "warmup_fraction": 0.0,
    "max_steps": 12,
    "eval_every_steps": 1,
    "early_stopping_patience": 2,
    "keep_checkpoints": 1,
}


def heard(losses: Sequence[float], patience: int, min_delta: float = 0.0) -> BestWatch:
    watch = BestWatch(patience, min_delta)
    for step, loss in enumerate(losses, start=1):
        watch = BestWatch(patience, min_delta, **watch.state())  # as if resumed each time
        watch.hear(step, loss)
    return watch


@pytest.mark.parametrize(
    ("losses", "min_delta", "best", "ended"),
    [
        ([3, 2, 1], 0.0, 3, False),
        ([3, 2, 2], 0.0, 2, False),
        ([3, 2, 2, 2.5], 0.0, 2, True),
        ([3, 2, 2.5, 1], 0.0, 4, False),
        ([3, 2.9, 2.8], 0.5, 3, True),  # small falls: lowest, yet no gain
        ([3, 2.9, 2.4], 0.5, 3, False),  # a gain is counted from the last gain
    ],
)
def test_patience_counts_evaluations_without_a_gain(
    losses: list[float], min_delta: float, best: int, ended: bool
) -> None:
    watch = heard(losses, 2, min_delta)
    assert (watch.step, watch.loss, watch.ended) == (best, min(losses), ended)
    assert not heard(losses, 0, min_delta).ended


@pytest.fixture(scope="module")
def overshot(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, Any, Any]:
    from tests.training.trial import make_run

    root = make_run(tmp_path_factory.mktemp("overshot") / "run", model)
    ctx = context(root, **OVERSHOOTING)
    return root, train(ctx), ctx


def evaluations(root: Path) -> dict[int, float]:
    lines = read_series(root / "train" / "evaluations.jsonl")
    return {int(line["step"]): line["eval_loss"] for line in lines}


def test_it_stops_early_and_gives_the_best_step(overshot: Any) -> None:
    root, outcome, ctx = overshot
    measured = evaluations(root)
    del measured[0]
    best = min(measured, key=lambda step: measured[step])
    assert max(measured) == best + 2 < 12
    figures = outcome.figures
    assert (figures["best_step"], figures["best_eval_loss"]) == (best, measured[best])
    assert figures["adapter_step"] == best
    assert figures["steps"] == best + 2
    kept = sorted(path.name for path in (root / "train" / "checkpoints").iterdir())
    assert kept == [f"step-{best:08d}", f"step-{best + 2:08d}"]
    weights = load_file(root / "train" / "checkpoints" / kept[0] / "weights.safetensors")
    assert weights_digest(weights) == outcome.digest
    assert any("stopped early" in note for note in outcome.notes)
    assert any("stops early" in line["message"] for line in said(ctx, "log"))
    assert said(ctx, "checkpoint")[-1]["reason"] == "end"


def test_stopping_early_is_the_same_however_often_it_was_interrupted(
    overshot: Any, new_run: NewRun
) -> None:
    whole, outcome, _ = overshot
    root = new_run("interrupted")
    ends = 0
    while True:  # pauses in evaluations, accumulations, and at the very last one
        ctx = context(root, PlannedGate(pause_at=7), **OVERSHOOTING)
        try:
            again = train(ctx)
        except HardPause:
            ends += 1
            continue
        break
    assert ends > 3
    assert again.digest == outcome.digest
    assert evaluations(root) == evaluations(whole)
    assert train(context(root, **OVERSHOOTING)).digest == outcome.digest


def test_which_checkpoint_the_adapter_is_made_from_is_a_setting(
    overshot: Any, new_run: NewRun
) -> None:
    _, outcome, _ = overshot
    last = train(context(new_run("last"), adapter_from="last", **OVERSHOOTING))
    assert last.figures["adapter_step"] == last.figures["steps"] == outcome.figures["steps"]
    assert last.digest != outcome.digest

    root = new_run("damaged")
    settings = {**OVERSHOOTING, "max_steps": outcome.figures["steps"], "adapter_from": "best"}
    settings["early_stopping_patience"] = 0
    assert train(context(root, **settings)).digest == outcome.digest
    best = root / "train" / "checkpoints" / f"step-{outcome.figures['best_step']:08d}"
    (best / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        train(context(root, **settings))


def test_a_best_needs_something_to_judge_by(new_run: NewRun, tmp_path: Path) -> None:
    for settings in ({"adapter_from": "best"}, {"early_stopping_patience": 1}):
        with pytest.raises(ValidationError, match="eval_max_samples"):
            TrainSettings.model_validate({**settings, "eval_max_samples": 0})
    with pytest.raises(ValidationError, match="needs eval_every_steps"):
        TrainSettings.model_validate({"early_stopping_patience": 1, "eval_every_steps": 0})
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "問い", "completion": "答え"}\n')
    with pytest.raises(DataError, match="no held-out samples"):
        train(
            context(
                new_run("unmeasured"),
                dataset=rows,
                validation_fraction=0.0,
                early_stopping_patience=1,
            )
        )

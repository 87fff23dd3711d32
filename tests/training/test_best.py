from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from so8t_core.contract.errors import DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import HardPause
from so8t_core.training.adapter import weights_digest
from so8t_core.training.best import BestWatch
from so8t_core.training.checkpoint import CheckpointStore, Snapshot, read_checkpoint
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

    root = new_run("without stopping")
    settings = {**OVERSHOOTING, "max_steps": outcome.figures["steps"], "adapter_from": "best"}
    settings["early_stopping_patience"] = 0
    assert train(context(root, **settings)).digest == outcome.digest


def test_the_card_tells_the_adapters_own_step_and_losses(overshot: Any) -> None:
    root, outcome, _ = overshot
    folder, figures = root / "train" / "adapter", outcome.figures
    best, last = figures["best_step"], figures["steps"]
    assert best < last
    text = (folder / "README.md").read_text()
    steps = list(read_series(root / "train" / "series.jsonl"))
    until = steps[:best]
    assert f"| optimiser steps | {best} |" in text
    assert f"| tokens seen | {sum(int(line['tokens']) for line in until):,} |" in text
    assert f"| loss of its last step | {until[-1]['loss']:.4f} |" in text
    assert f"| held-out loss after | {evaluations(root)[best]:.4f} |" in text
    assert f"| steps of the whole training | {last} |" in text
    assert f"The adapter is that of step {best}, where" in text
    assert f"{steps[-1]['loss']:.4f}" not in text
    assert f"{evaluations(root)[last]:.4f}" not in text
    kept = CheckpointStore(root / "train" / "checkpoints", 9, owned=False).path(best)
    assert figures["adapter_target_tokens"] == read_checkpoint(kept).counters["targets"]
    assert figures["adapter_target_tokens"] < figures["target_tokens"]
    assert json.loads((folder / "training.json").read_text())["steps"] == best
    assert any(f"went on to step {last}" in note for note in outcome.notes)


def damage(best: Path) -> None:
    content = (best / "weights.safetensors").read_bytes()
    (best / "weights.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("harm", [damage, shutil.rmtree], ids=["damaged", "gone"])
def test_a_lost_best_checkpoint_costs_the_best_and_not_the_training(
    overshot: Any, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    whole, outcome, _ = overshot
    root = shutil.copytree(whole, tmp_path / "run", symlinks=True)
    best, last = outcome.figures["best_step"], outcome.figures["steps"]
    harm(root / "train" / "checkpoints" / f"step-{best:08d}")
    for _ in range(2):  # the second time nothing is left to be lost
        again = train(context(root, **OVERSHOOTING))
    figures = again.figures
    assert (figures["adapter_step"], figures["lost_best_step"]) == (last, best)
    assert again.digest != outcome.digest
    text = (root / "train" / "adapter" / "README.md").read_text()
    assert f"Step {best} had a lower held-out loss; its checkpoint was lost." in text
    assert sum("could not be used" in note for note in again.notes) == 1


def test_a_best_that_is_lost_at_a_resume_is_looked_for_anew(overshot: Any, new_run: NewRun) -> None:
    _, outcome, _ = overshot
    root, best = new_run("resumed"), outcome.figures["best_step"]
    settings = {**OVERSHOOTING, "early_stopping_patience": 0, "adapter_from": "best"}
    settings |= {"max_steps": best + 3}
    first = 3 + (best + 1) * (3 + 3) + 1  # evaluations and micro-batches have three points each
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=first), **settings))
    shutil.rmtree(root / "train" / "checkpoints" / f"step-{best:08d}")
    ctx = context(root, **settings)
    figures = train(ctx).figures
    (told,) = said(ctx, "fallback")
    assert told["what"] == f"the lowest held-out loss from step {best + 1} on"
    assert told["why"] == f"step-{best:08d}: The checkpoint is not there."
    later = {step: loss for step, loss in evaluations(root).items() if step > best}
    assert set(later) == {best + 1, best + 2, best + 3}
    assert figures["adapter_step"] == figures["best_step"] == min(later, key=lambda s: later[s])
    assert figures["best_eval_loss"] == min(later.values()) == figures["adapter_eval_loss"]


def test_a_best_that_is_lost_while_training_gives_way_to_the_last(
    overshot: Any, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outcome, _ = overshot
    root = new_run("while")
    best, last = outcome.figures["best_step"], outcome.figures["steps"]
    settings = {**OVERSHOOTING, "max_steps": last, "early_stopping_patience": 0}
    whole_write = CheckpointStore.write

    def write(self: CheckpointStore, snapshot: Snapshot) -> tuple[Path, int]:
        if snapshot.step == last:
            damage(self.path(best))
        return whole_write(self, snapshot)

    monkeypatch.setattr(CheckpointStore, "write", write)
    ctx = context(root, **settings, adapter_from="best")
    again = train(ctx)
    assert again.figures["adapter_step"] == last
    (told,) = said(ctx, "fallback")
    assert (
        told["what"] == f"an adapter from step {last}, the last, in place of step {best}, the best"
    )
    assert told["why"].startswith(f"step-{best:08d}: weights.safetensors")


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

"""Finished steps are written beside the next one's passes, and before anything relies on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.phases.base import HardPause
from so8t_core.training.dataset import PaddingCollator
from so8t_core.training.finished_step import read_together
from so8t_core.training.guard import StepGuard
from tests.training.trial import QUICK, context, make_model, make_run, train

STEPS = 4


@dataclass
class LookingGate:
    """Writes down how many steps the series has at each point; `requested`: it is a soft pause."""

    series: Path
    requested: bool
    pause_at: int | None = None
    seen: list[int] = field(default_factory=list)

    def point(self, save: Callable[[], None] | None = None) -> None:
        if save is None:
            return
        self.seen.append(self.series.read_text().count("\n"))
        if len(self.seen) == self.pause_at:
            save()
            raise HardPause

    async def apoint(self) -> None:
        self.point()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def trained(root: Path, model: Path, gate: Any) -> Any:
    ctx = context(
        make_run(root, model), gate, max_steps=STEPS, eval_max_samples=0, save_every_steps=100
    )
    train(ctx)
    return ctx


def test_a_pause_holds_when_the_finished_step_is_written_and_else_it_waits(
    tmp_path: Path, model: Path
) -> None:
    a_step = QUICK["accumulation_steps"]
    for requested, at_the_first_point in ((True, 0), (False, 1)):
        root = tmp_path / str(requested)
        gate = LookingGate(root / "train" / "series.jsonl", requested)
        trained(root, model, gate)
        finished = [number // a_step for number in range(STEPS * a_step)]
        behind = [done - seen for done, seen in zip(finished, gate.seen, strict=True)]
        first = [at_the_first_point if done else 0 for done in finished[::a_step]]
        assert behind[::a_step] == first
        assert not any(behind[1::a_step])
        assert gate.series.read_text().count("\n") == STEPS


def test_a_hard_pause_that_comes_unannounced_saves_the_finished_step(
    tmp_path: Path, model: Path
) -> None:
    root = tmp_path / "run"
    point = 2 * QUICK["accumulation_steps"] + 1  # before the third step's first pass
    gate = LookingGate(root / "train" / "series.jsonl", requested=False, pause_at=point)
    with pytest.raises(HardPause):
        trained(root, model, gate)
    lines = [json.loads(line) for line in gate.series.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert [folder.name for folder in (root / "train" / "checkpoints").iterdir()] == [
        "step-00000002"
    ]


def test_the_next_step_is_collated_before_the_host_waits_for_the_present_one(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for owner, name in ((PaddingCollator, "__call__"), (StepGuard, "judge")):
        real = getattr(owner, name)

        def told(*arguments: Any, real: Any = real, name: str = name) -> Any:
            order.append(name)
            return real(*arguments)

        monkeypatch.setattr(owner, name, told)
    trained(tmp_path / "run", model, None)
    assert order.count("__call__") == STEPS * QUICK["accumulation_steps"]
    for step in range(STEPS - 1):
        judged = [at for at, name in enumerate(order) if name == "judge"][step]
        assert order[:judged].count("__call__") >= (step + 2) * QUICK["accumulation_steps"]


def test_what_is_read_together_is_what_each_holds() -> None:
    floats = [torch.tensor(value) for value in (0.1, 1e-30, float("nan"))]
    counts = [torch.tensor(2**40 + 1), torch.tensor(3)]
    found = read_together(*floats, counts, torch.tensor(2**33 + 1))
    assert (found.loss, found.task_loss) == (floats[0].item(), floats[1].item())
    assert found.grad_norm != found.grad_norm
    assert (found.tokens, found.targets) == (2**40 + 4, 2**33 + 1)

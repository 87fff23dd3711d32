"""PET: the second difference of hidden states, within samples, as a mean over a step's triples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from so8t_core.phases.base import HardPause
from so8t_core.training.dataset import PaddingCollator
from so8t_core.training.encoding import Encoded
from so8t_core.training.packing import PackingCollator
from so8t_core.training.pet import (
    MIDDLES,
    MarkingCollator,
    PetTerm,
    phase_share,
    squared_second_differences,
)
from so8t_core.training.series import read_series
from so8t_core.training.trainer import SO8TTrainer
from tests.training.trial import PlannedGate, context, said, train

NewRun = Callable[[str], Path]


def sample(length: int, first: int = 5) -> Encoded:
    return Encoded(list(range(first, first + length)), [True] * length)


def test_the_term_equals_a_hand_computation() -> None:
    hidden = torch.tensor([[[0.0, 1.0], [1.0, 1.0], [4.0, 1.0], [9.0, 3.0]]], requires_grad=True)
    middles = torch.tensor([[False, True, True, False]])
    # differences of differences: (4 - 2 + 0, 1 - 2 + 1) = (2, 0); (9 - 8 + 1, 3 - 2 + 1) = (2, 2)
    total = squared_second_differences(hidden, middles)
    assert total.item() == pytest.approx((4 + 0) / 2 + (4 + 4) / 2)
    total.backward()
    # of the first triple (2, 0) x (1, -2, 1), of the second (2, 2) x (1, -2, 1); halved, doubled
    expected = [[2, 0], [-4 + 2, 2], [2 - 4, -4], [2, 2]]
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, torch.tensor([expected], dtype=torch.float32))


def test_a_straight_course_costs_nothing() -> None:
    course = torch.arange(6.0)[None, :, None] * torch.tensor([1.0, -2.0, 0.5])
    middles = torch.tensor([[False, True, True, True, True, False]])
    assert squared_second_differences(course, middles).item() == pytest.approx(0, abs=1e-10)


def test_triples_lie_within_samples_and_padding_and_fill_are_none() -> None:
    packed = MarkingCollator(PackingCollator(0))([(sample(4), sample(3)), (sample(5),)])
    assert packed[MIDDLES].int().tolist() == [[0, 1, 1, 0, 0, 1, 0], [0, 1, 1, 1, 0, 0, 0]]
    padded = MarkingCollator(PaddingCollator(0))([sample(4), sample(2), sample(1)])
    assert padded[MIDDLES].int().tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_packed_row_costs_what_its_samples_cost_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(length, 3, generator=generator) for length in (4, 1, 6, 2)]
    row = tuple(sample(len(state)) for state in states)
    middles = MarkingCollator(PackingCollator(0))([row])[MIDDLES]
    together = squared_second_differences(torch.cat(states)[None], middles)
    alone = sum(
        squared_second_differences(
            state[None], MarkingCollator(PaddingCollator(0))([sample(len(state))])[MIDDLES]
        )
        for state in states
    )
    torch.testing.assert_close(together, torch.as_tensor(alone))
    assert together > 0


def test_the_weight_rises_in_three_phases() -> None:
    shares = [phase_share(step, 10) for step in range(10)]
    assert shares == [0.1, 0.1, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert phase_share(0, 1) == 0.1
    assert phase_share(10, 10) == 1.0


def test_parts_of_a_step_add_up_to_the_mean_over_all_ranks_triples() -> None:
    norm = nn.Identity()
    term = PetTerm(norm, weight=2.0, steps=1)
    hidden = torch.tensor([[[0.0], [1.0], [4.0], [4.0]]])  # second differences 2 and -3
    mark = torch.tensor([[False, True, True, False]])
    one = torch.tensor([[False, True, False, False]])
    term.count([{MIDDLES: mark}, {MIDDLES: one}], lambda own: own.repeat(2), torch.device("cpu"))
    term.begin(0)
    loss = torch.zeros(())
    for middles in (mark, one):
        term.take({MIDDLES: middles})
        norm(hidden)
        loss = term.add(loss, ranks=2)
    # a tenth of the weight, two ranks, six triples in all: squares 4 + 9 and 4
    assert loss.item() == pytest.approx(0.2 * 2 * (13 + 4) / 6)
    assert term.measured(lambda own: 2 * own) == {
        "pet": pytest.approx(2 * 17 / 6),
        "pet_weight": pytest.approx(0.2),
    }


def test_a_batch_without_any_triple_adds_nothing() -> None:
    norm = nn.Identity()
    term = PetTerm(norm, weight=2.0, steps=1)
    empty = torch.zeros(1, 2, dtype=torch.bool)
    term.count([{MIDDLES: empty}], lambda own: own, torch.device("cpu"))
    term.begin(0)
    term.take({MIDDLES: empty})
    norm(torch.randn(1, 2, 3))
    assert term.add(torch.ones(()), ranks=1).item() == 1.0


EXACT: dict[str, Any] = {
    "base_storage": "float32",
    "optimizer": "adamw",
    "lora_dropout": 0.0,
    "max_steps": 5,
    "pet_weight": 0.3,
    "rotation_size_weight": 0.2,
    "gate_learning_rate": 0.05,
}


def lines(root: Path) -> list[dict[str, float]]:
    return list(read_series(root / "train" / "series.jsonl"))


@pytest.mark.parametrize("packing", [False, True])
def test_every_term_is_logged_and_independent_of_the_accumulation(
    new_run: NewRun, packing: bool
) -> None:
    courses = []
    for name, micro, accumulation in (("many", 1, 6), ("few", 3, 2), ("one", 6, 1)):
        root = new_run(name)
        train(
            context(
                root,
                **EXACT,
                packing=packing,
                micro_batch_size=micro,
                accumulation_steps=accumulation,
            )
        )
        courses.append(lines(root))
    for course in courses:
        before = 0.0
        for step, line in enumerate(course):
            assert line["pet"] > 0
            assert line["pet_weight"] == pytest.approx(0.3 * phase_share(step, 5))
            whole = line["task_loss"] + line["pet_weight"] * line["pet"] + 0.2 * before
            assert line["loss"] == pytest.approx(whole, rel=1e-5)
            before = line["rotation_size"]  # measured after the step, penalised in the next
        assert before > 0
    for other in courses[1:]:
        for line, same in zip(courses[0], other, strict=True):
            for name in ("loss", "task_loss", "pet", "rotation_size", "grad_norm"):
                assert line[name] == pytest.approx(same[name], rel=2e-4), name


def test_the_term_acts_and_is_off_by_default(new_run: NewRun) -> None:
    with_it, without = new_run("with"), new_run("without")
    train(context(with_it, **{**EXACT, "pet_weight": 5.0}))
    train(context(without, **{**EXACT, "pet_weight": 0.0}))
    assert lines(with_it)[-1]["pet"] < lines(with_it)[0]["pet"]
    assert "pet" not in lines(without)[0]
    assert lines(with_it)[-1]["grad_norm"] != lines(without)[-1]["grad_norm"]


def test_a_pause_within_an_accumulation_changes_nothing(new_run: NewRun) -> None:
    settings = {"pet_weight": 0.3, "packing": True, "max_steps": 3}
    straight = new_run("straight")
    digest = train(context(straight, **settings)).digest
    paused = new_run("paused")
    with pytest.raises(HardPause):
        train(context(paused, PlannedGate(pause_at=6), **settings))
    resumed = context(paused, **settings)
    assert train(resumed).digest == digest
    assert said(resumed, "rewound")
    assert lines(paused) == lines(straight)


def test_a_step_taken_again_in_smaller_passes_counts_its_triples_once(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**EXACT, "micro_batch_size": 4, "accumulation_steps": 2}
    whole = new_run("whole")
    train(context(whole, **settings))
    honest = SO8TTrainer.compute_loss

    def short(self: SO8TTrainer, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        result = honest(self, model, inputs, *args, **kwargs)
        if len(inputs["input_ids"]) > 2 and self.state.global_step == 2 and self._micro_batches:
            raise torch.OutOfMemoryError("full")
        return result

    monkeypatch.setattr(SO8TTrainer, "compute_loss", short)
    cut = new_run("cut")
    ctx = context(cut, **settings)
    train(ctx)
    assert any("2 samples a pass" in event["what"] for event in said(ctx, "fallback"))
    for line, same in zip(lines(cut), lines(whole), strict=True):
        for name in ("loss", "task_loss", "pet", "grad_norm"):
            assert line[name] == pytest.approx(same[name], rel=2e-4), name

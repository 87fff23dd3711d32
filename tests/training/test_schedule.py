from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.schedule import build_schedule


def courses(groups: int, steps: int, **settings: Any) -> list[list[float]]:
    """The factor of each group's rate, step by step."""
    weights = [torch.zeros(1, requires_grad=True) for _ in range(groups)]
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 1.0} for weight in weights])
    schedule = build_schedule(optimizer, TrainSettings.model_validate(settings), steps)
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return [list(course) for course in zip(*rates, strict=True)]


def test_rates_rise_through_the_warm_up_and_fall_along_a_cosine() -> None:
    (course,) = courses(1, 20, warmup_fraction=0.2)
    assert course[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    for step in range(4, 20):
        assert course[step] == pytest.approx(0.5 + 0.5 * math.cos(math.pi * (step - 4) / 16))


def test_gates_go_with_lora_unless_they_are_told_otherwise() -> None:
    lora, gates = courses(2, 10)
    assert lora == gates


def test_gates_have_a_course_of_their_own() -> None:
    lora, gates = courses(
        2, 10, schedule="linear", gate_schedule="constant", gate_warmup_fraction=0.5
    )
    assert lora == pytest.approx([0.0, 1.0, *(1 - step / 9 for step in range(1, 9))])
    assert gates == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0])


def test_a_warm_up_of_nothing_begins_at_the_peak() -> None:
    lora, gates = courses(2, 4, gate_warmup_fraction=0.0)
    assert (lora[0], gates[0]) == (0.0, 1.0)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_shortest_runs_and_the_longest_warm_ups_train(schedule: str) -> None:
    assert courses(2, 1, schedule=schedule) == [[1.0], [1.0]]
    assert courses(1, 2, schedule=schedule) == [[0.0, 1.0]]
    (course,) = courses(1, 4, schedule=schedule, warmup_fraction=0.99)
    assert course == pytest.approx([0, 1 / 3, 2 / 3, 1])

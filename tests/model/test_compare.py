from __future__ import annotations

import math

import pytest
import torch

from so8t_core.model.compare import compare


def test_equal_logits_have_no_distance() -> None:
    logits = [torch.randn(5, 9, generator=torch.Generator().manual_seed(0))]
    result = compare(logits, logits)
    assert (result.max_difference, result.mean_difference, result.relative) == (0.0, 0.0, 0.0)
    assert result.kl_nats == 0.0
    assert result.top1_agreement == 1.0
    assert result.positions == 5


def test_the_figures_are_those_computed_by_hand() -> None:
    reference = [torch.tensor([[0.0, 4.0]]), torch.tensor([[0.0, 0.0]])]
    candidate = [torch.tensor([[0.0, 4.0]]), torch.tensor([[math.log(3.0), 0.0]])]
    result = compare(reference, candidate)
    assert result.max_difference == pytest.approx(math.log(3.0))
    assert result.mean_difference == pytest.approx(math.log(3.0) / 4)
    assert result.scale == 4.0
    # KL((1/2, 1/2) || (3/4, 1/4)) over two positions
    assert result.kl_nats == pytest.approx(0.5 * math.log(4 / 3) / 2, rel=1e-6)
    assert result.positions == 2

from __future__ import annotations

import pytest
import torch

from so8t_core.contract.errors import ModelError
from so8t_core.training.same_bits import same_bits


def test_torch_is_strict_within_and_as_before_afterwards() -> None:
    """Its attention has deterministic gradients only then: a warning alone changes nothing."""
    assert not torch.are_deterministic_algorithms_enabled()
    with same_bits(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with same_bits(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_has_no_deterministic_form_is_said_with_the_setting() -> None:
    # a form is missing on a CPU too: torch asks before it looks at the device
    odd = torch.ones(4).put_, (torch.tensor([0]), torch.tensor([2.0]))
    with pytest.raises(ModelError, match=r"put_") as raised, same_bits(True):
        odd[0](*odd[1], accumulate=False)
    assert raised.value.where == "train.deterministic"
    assert not torch.are_deterministic_algorithms_enabled()


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), same_bits(True):
        torch.ones(2, 3) @ torch.ones(2, 3)

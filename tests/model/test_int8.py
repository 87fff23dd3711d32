from __future__ import annotations

from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from so8t_core.model.int8 import (
    DequantizedLinear,
    Int8Product,
    as_stored,
    multiply_as_stock,
    multiply_dequantized,
)
from so8t_core.model.ops import reference


def stored(bias: bool = False) -> Linear8bitLt:
    torch.manual_seed(0)
    plain = nn.Linear(24, 40, bias=bias)
    linear = Linear8bitLt(24, 40, bias=bias, has_fp16_weights=False, threshold=6.0)
    linear.load_state_dict(plain.state_dict())
    return linear.to("cpu")


def explicit(linear: Linear8bitLt) -> Tensor:
    codes = linear.weight.data
    scales = linear.state.SCB if linear.state.SCB is not None else linear.weight.SCB
    return codes.float() * (scales.float() / 127)[:, None]


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_what_an_int8_base_stores_is_known_from_the_weight_to_the_bit() -> None:
    torch.manual_seed(0)
    plain, linear = nn.Linear(24, 40), stored(bias=True)
    known = reference.dequantize(linear.weight.data, linear.weight.SCB, torch.float32)
    assert torch.equal(as_stored(plain.weight.detach()), known)


@pytest.mark.parametrize("bias", [False, True])
def test_the_product_is_that_of_the_dequantized_weight(bias: bool) -> None:
    linear = stored(bias)
    weight = explicit(linear)
    assert multiply_dequantized(nn.Sequential(linear)) == 1
    x, upstream = drawn(2, 5, 24).requires_grad_(), drawn(2, 5, 40)
    y = linear(x)
    y.backward(upstream)
    expected = x @ weight.T + (linear.bias if bias else 0.0)
    assert torch.allclose(y, expected, atol=1e-6)
    assert x.grad is not None
    assert torch.allclose(x.grad, upstream @ weight, atol=1e-6)
    assert linear.weight.grad is None


def test_the_product_keeps_nothing_but_the_stored_weight() -> None:
    linear = stored()
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Int8Product.apply(drawn(5, 24).requires_grad_(), linear.weight.CB, linear.weight.SCB)
    assert [tensor.data_ptr() for tensor in kept] == [
        linear.weight.CB.data_ptr(),
        linear.weight.SCB.data_ptr(),
    ]


@pytest.mark.parametrize("reentrant", [True, False])
def test_both_kinds_of_checkpointing_give_the_same_gradient(reentrant: bool) -> None:
    model = nn.Sequential(stored(), nn.SiLU(), nn.Linear(40, 3))
    multiply_dequantized(model)

    def gradient(run: Any) -> Tensor:
        x = drawn(5, 24).requires_grad_()
        run(x).square().sum().backward()
        assert x.grad is not None
        return x.grad

    again = gradient(lambda x: checkpoint(model, x, use_reentrant=reentrant))
    assert torch.equal(gradient(model), again)


def test_autocast_decides_the_arithmetic() -> None:
    linear = stored()
    multiply_dequantized(nn.Sequential(linear))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(drawn(5, 24)).dtype == torch.bfloat16
    assert linear(drawn(5, 24)).dtype == torch.float32


def test_switching_changes_the_product_alone_and_can_be_undone() -> None:
    linear = stored()
    model = nn.Sequential(linear, nn.Linear(40, 8))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert multiply_dequantized(model) == 1
    assert multiply_dequantized(model) == 0
    assert isinstance(model[0], DequantizedLinear)
    assert model[0] is linear
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert multiply_as_stock(model) == 1
    assert type(model[0]) is Linear8bitLt

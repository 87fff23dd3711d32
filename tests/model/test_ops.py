from __future__ import annotations

import pytest
import torch
from torch import Tensor

from so8t_core.model import ops, so8
from so8t_core.model.ops import BlockRotation, Exponential, reference


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(matrices: Tensor) -> Tensor:
    return torch.block_diag(*matrices)


@pytest.mark.parametrize("shape", [(0, 24), (1, 24), (7, 24), (2, 5, 24)])
def test_the_reference_is_the_product_with_the_block_diagonal_matrix(
    shape: tuple[int, ...],
) -> None:
    hidden, upstream, matrices = drawn(*shape), drawn(*shape, seed=1), drawn(3, 8, 8, seed=2)
    assert torch.allclose(reference.forward(hidden, matrices), hidden @ dense(matrices).T)
    down, gradient = reference.backward(hidden, matrices, upstream)
    assert torch.allclose(down, upstream @ dense(matrices))
    whole = upstream.reshape(-1, 24).T @ hidden.reshape(-1, 24)
    expected = torch.stack([whole[8 * b : 8 * b + 8, 8 * b : 8 * b + 8] for b in range(3)])
    assert gradient.shape == (3, 8, 8)
    assert torch.allclose(gradient, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_reference_sums_in_float32(dtype: torch.dtype) -> None:
    hidden, upstream = drawn(333, 16).to(dtype), drawn(333, 16, seed=1).to(dtype)
    matrices = drawn(2, 8, 8, seed=2).float()
    down, gradient = reference.backward(hidden, matrices, upstream)
    assert (down.dtype, gradient.dtype) == (dtype, torch.float32)
    _, exact = reference.backward(hidden.double(), matrices.double(), upstream.double())
    assert (gradient - exact).abs().max() < 1e-5 * exact.abs().max()


def test_the_function_has_the_gradient_of_its_forward() -> None:
    hidden = drawn(3, 5, 16).requires_grad_()
    matrices = drawn(2, 8, 8, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda h, m: BlockRotation.apply(h, m, reference), (hidden, matrices)
    )


def test_without_a_gradient_of_r_the_function_turns_the_hidden_one_back() -> None:
    hidden = drawn(5, 16).requires_grad_()
    matrices = drawn(2, 8, 8, seed=1)
    BlockRotation.apply(hidden, matrices, reference).backward(drawn(5, 16, seed=2))
    assert hidden.grad is not None
    assert torch.allclose(hidden.grad, drawn(5, 16, seed=2) @ dense(matrices))


def test_on_a_cpu_rotating_is_the_definition_and_no_fallback() -> None:
    hidden, matrices = drawn(5, 16).bfloat16(), drawn(2, 8, 8, seed=1).float()
    before = ops.fallbacks()
    assert torch.equal(ops.rotate(hidden, matrices), so8.rotate(hidden, matrices))
    assert ops.fallbacks() == before


def test_the_gate_uses_the_operations_of_the_package() -> None:
    from so8t_core.model import modeling_phi3_so8t

    assert modeling_phi3_so8t.rotate is ops.rotate
    assert modeling_phi3_so8t.rotation is ops.rotation


def test_the_exponential_has_the_gradient_of_its_forward() -> None:
    thetas = (0.3 * drawn(2, 3, 28)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: Exponential.apply(t, reference), (thetas,))


@pytest.mark.parametrize("parametrisation", so8.PARAMETRISATIONS)
def test_on_a_cpu_building_is_the_definition_and_no_fallback(parametrisation: str) -> None:
    theta = drawn(2, 3, *so8.parameter_shape(parametrisation))
    before = ops.fallbacks()
    assert torch.equal(ops.rotation(theta, parametrisation), so8.rotation(theta, parametrisation))
    assert ops.fallbacks() == before


def test_dequantized_rows_are_rounded_once() -> None:
    codes = torch.arange(-127, 128, dtype=torch.int8).repeat(3, 1)
    scales = torch.tensor([0.1, 1.0, 777.0])
    exact = codes.double() * scales.double()[:, None] / 127
    for dtype, bound in (
        (torch.float32, 2e-7),
        (torch.bfloat16, 2.0**-8),
        (torch.float16, 2.0**-10),
    ):
        found = ops.dequantize(codes, scales, dtype)
        assert found.dtype == dtype
        assert ((found.double() - exact).abs() <= bound * exact.abs()).all()

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from so8t_core.model import ops, so8


def random_theta(*shape: int, spread: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, so8.FREEDOMS, generator=generator, dtype=torch.float64) * spread


def test_skew_fills_the_upper_triangle_row_by_row_and_negates_it_below() -> None:
    matrix = so8.skew(torch.arange(1.0, 29.0))
    assert matrix[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert matrix[6, 7] == 28
    assert torch.equal(matrix.mT, -matrix)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_exp_agrees_with_scipy_for_every_norm_from_a_millionth_to_a_hundred(count: int) -> None:
    theta = random_theta(count)
    norms = 10 ** torch.linspace(-6, 2, count, dtype=torch.float64)
    spectral = torch.linalg.matrix_norm(so8.skew(theta), ord=2)
    theta = theta * (norms / spectral)[:, None]
    expected = scipy.linalg.expm(so8.skew(theta).numpy())
    assert np.abs(so8.rotation(theta, "exp").numpy() - expected).max() <= 1e-12
    single = so8.rotation(theta.float(), "exp")
    assert single.dtype == torch.float32
    assert (single - so8.rotation(theta.float().double(), "exp")).abs().max() <= 1e-6


def test_a_small_block_is_not_disturbed_by_a_large_one_in_the_same_batch() -> None:
    theta = torch.stack([random_theta(seed=1) * 1e-3, random_theta(seed=2) * 10])
    together = so8.rotation(theta, "exp")
    alone = torch.stack([so8.rotation(block, "exp") for block in theta])
    assert (together - alone).abs().max() <= 1e-14


def test_cayley_is_the_quotient_by_which_it_is_defined() -> None:
    skewed = so8.skew(random_theta(100))
    identity = torch.eye(8, dtype=torch.float64)
    expected = torch.linalg.solve(identity - skewed / 2, identity + skewed / 2)
    assert (so8.rotation(random_theta(100), "cayley") - expected).abs().max() <= 1e-12


def test_cayley_agrees_with_exp_up_to_the_third_order() -> None:
    theta = random_theta(10)
    gaps = [
        float((so8.rotation(theta * size, "exp") - so8.rotation(theta * size, "cayley")).norm())
        for size in (1e-2, 1e-3)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_zero_gives_exactly_the_identity(parametrisation: str) -> None:
    matrices = so8.rotation(torch.zeros(3, 28), parametrisation)
    assert torch.equal(matrices, torch.eye(8).expand(3, 8, 8))


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_rotations_are_orthogonal_with_determinant_one(parametrisation: str) -> None:
    matrices = so8.rotation(random_theta(200), parametrisation)
    assert so8.orthogonality_error(matrices).max() <= 1e-13
    assert (torch.linalg.det(matrices) - 1).abs().max() <= 1e-12


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_first_and_second_derivatives_are_right(parametrisation: str, spread: float) -> None:
    theta = random_theta(1, spread=spread).requires_grad_()

    def build(at: Tensor) -> Tensor:
        return so8.rotation(at, parametrisation)

    assert torch.autograd.gradcheck(build, theta)
    assert torch.autograd.gradgradcheck(build, theta, fast_mode=True)


def test_autocast_does_not_round_a_rotation() -> None:
    theta = random_theta(5).float()
    plain = so8.rotation(theta, "exp")
    hidden = torch.randn(3, 40, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(so8.rotation(theta, "exp"), plain)
        assert torch.equal(so8.rotate(hidden, plain), so8.rotate(hidden, plain.clone()))
        inside = so8.rotate(hidden, plain)
    assert torch.equal(inside, so8.rotate(hidden, plain))


def test_an_unknown_parametrisation_is_refused() -> None:
    with pytest.raises(ValueError, match="exp"):
        so8.rotation(torch.zeros(28), "euler")


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 3, 24), (0, 24)])
def test_rotate_is_the_block_diagonal_matrix_on_any_shape(shape: tuple[int, ...]) -> None:
    matrices = so8.rotation(random_theta(3), "exp")
    hidden = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = hidden @ torch.block_diag(*matrices).mT
    assert torch.allclose(so8.rotate(hidden, matrices), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_identity_returns_every_value_to_the_bit(dtype: torch.dtype) -> None:
    hidden = (torch.randn(100, 64, generator=torch.Generator().manual_seed(4)) * 100).to(dtype)
    matrices = so8.rotation(torch.zeros(8, 28), "exp")
    assert torch.equal(so8.rotate(hidden, matrices), hidden)


def test_at_the_identity_two_values_are_not_kept() -> None:
    """The sum of -0.0 and 0.0 is 0.0, and infinity times zero is NaN: said in the docstring."""
    hidden = torch.ones(2, 16)
    hidden[0, 3], hidden[1, 3] = -0.0, float("inf")
    turned = so8.rotate(hidden, torch.eye(8).expand(2, 8, 8))
    assert not turned[0, 3].signbit()
    assert turned[1].isnan().tolist() == [True] * 8 + [False] * 8


@pytest.mark.parametrize("turn", [so8.rotate, ops.rotate])
def test_blocks_that_do_not_make_up_the_width_are_refused(turn: Any) -> None:
    """Sixteen numbers in four blocks of eight would mix tokens without a word."""
    with pytest.raises(ValueError, match="4 blocks of 8 do not turn a width of 16"):
        turn(torch.ones(4, 16), torch.eye(8).expand(4, 8, 8))
    with pytest.raises(ValueError, match="2 blocks of 8 do not turn a width of 24"):
        so8.rotate_rows(torch.ones(24, 5), torch.eye(8).expand(2, 8, 8))


class OverlapSeen(TorchDispatchMode):
    """Notes whether something was copied into a tensor whose numbers share their memory."""

    seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if "index_copy" in str(func):
            self.seen |= 0 in args[0].stride()
        return func(*args, **(kwargs or {}))


def test_chosen_blocks_are_put_into_memory_of_their_own() -> None:
    """Compilers write where the strides say: into one matrix for all blocks, if it was expanded."""
    chosen, places = so8.rotation(random_theta(2), "exp"), torch.tensor([1, 3])
    with OverlapSeen() as watch:
        every = so8.whole(chosen, places, 4)
    assert not watch.seen
    identity = torch.eye(8, dtype=torch.float64)
    assert torch.equal(every, torch.stack([identity, chosen[0], identity, chosen[1]]))


def test_beyond_its_range_exp_is_no_rotation_and_cayley_still_is() -> None:
    theta = random_theta(50)
    theta /= torch.linalg.matrix_norm(so8.skew(theta), ord=2)[:, None]

    def error(parametrisation: str, norm: float) -> float:
        return float(so8.orthogonality_error(so8.rotation(theta * norm, parametrisation)).max())

    assert error("exp", 500) < 1e-6 < 1e-4 < error("exp", 1000)
    assert not error("exp", 5000) < float("inf")
    assert error("cayley", 100) < 1e-11
    assert error("cayley", 1e5) < 1e-6


def test_rotated_rows_of_a_weight_are_the_weight_of_the_rotated_layer() -> None:
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(24, 40, generator=generator, dtype=torch.float64)
    bias = torch.randn(24, generator=generator, dtype=torch.float64)
    states = torch.randn(7, 40, generator=generator, dtype=torch.float64)
    matrices = so8.rotation(random_theta(3), "exp")
    gated = so8.rotate(states @ weight.mT + bias, matrices)
    folded = states @ so8.rotate_rows(weight, matrices).mT + so8.rotate_rows(bias, matrices)
    assert (gated - folded).abs().max() <= 1e-12


def test_a_gate_passes_gradients_back_with_their_norm() -> None:
    generator = torch.Generator().manual_seed(6)
    hidden = torch.randn(5, 24, generator=generator, dtype=torch.float64, requires_grad=True)
    incoming = torch.randn(5, 24, generator=generator, dtype=torch.float64)
    matrices = so8.rotation(random_theta(3), "exp")
    (outgoing,) = torch.autograd.grad(so8.rotate(hidden, matrices), hidden, incoming)
    assert torch.allclose(outgoing, incoming @ torch.block_diag(*matrices), rtol=0, atol=1e-13)
    assert torch.allclose(outgoing.norm(dim=-1), incoming.norm(dim=-1))


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_at_zero_the_gradient_is_the_skew_part_of_the_rotations_gradient(
    parametrisation: str,
) -> None:
    generator = torch.Generator().manual_seed(7)
    hidden = torch.randn(5, 8, generator=generator, dtype=torch.float64)
    incoming = torch.randn(5, 8, generator=generator, dtype=torch.float64)
    theta = torch.zeros(1, 28, dtype=torch.float64, requires_grad=True)
    turned = so8.rotate(hidden, so8.rotation(theta, parametrisation))
    (gradient,) = torch.autograd.grad(turned, theta, incoming)
    outer = incoming.mT @ hidden
    rows, columns = torch.triu_indices(8, 8, offset=1)
    assert torch.allclose(gradient[0], (outer - outer.mT)[rows, columns], rtol=0, atol=1e-12)


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_the_orthogonality_loss_of_an_exact_rotation_has_no_gradient(parametrisation: str) -> None:
    theta = random_theta(4).requires_grad_()
    loss = so8.orthogonality_error(so8.rotation(theta, parametrisation)).square().sum()
    (gradient,) = torch.autograd.grad(loss, theta)
    assert gradient.abs().max() < 1e-12


def test_angles_and_distance_are_those_that_were_planted() -> None:
    planted = torch.tensor([3.0, 2.0, 0.5, 0.01], dtype=torch.float64)
    skewed = torch.zeros(8, 8, dtype=torch.float64)
    for plane, angle in enumerate(planted.tolist()):
        skewed[2 * plane, 2 * plane + 1] = angle
        skewed[2 * plane + 1, 2 * plane] = -angle
    turn = so8.rotation(random_theta(1)[0], "exp")
    matrix = turn @ torch.linalg.matrix_exp(skewed) @ turn.mT
    assert torch.allclose(so8.angles(matrix), planted, rtol=0, atol=1e-7)
    assert float(so8.distance(matrix)) == pytest.approx(float(skewed.norm()), abs=1e-7)


def test_the_nearest_rotation_undoes_a_stretch_and_never_mirrors() -> None:
    turn = so8.rotation(random_theta(20, spread=0.5), "exp")
    other = torch.randn(20, 8, 8, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    stretch = torch.eye(8) + 0.1 * other @ other.mT  # symmetric, positive: the polar factor is R
    assert torch.allclose(so8.nearest_rotation(turn @ stretch), turn, rtol=0, atol=1e-12)
    mirrors = torch.diag(torch.tensor([1.0] * 7 + [-0.5], dtype=torch.float64))
    nearest = so8.nearest_rotation(torch.cat([other, mirrors[None]]))
    assert torch.allclose(torch.linalg.det(nearest), torch.ones(21, dtype=torch.float64))
    assert so8.orthogonality_error(nearest).max() < 1e-12
    assert torch.allclose(nearest[-1], torch.eye(8, dtype=torch.float64))
    # no rotation is nearer than it: not the one that random turns of it give
    away = torch.linalg.matrix_norm(other - nearest[:20])
    for theta in random_theta(5, 20, spread=0.1, seed=9):
        turned = so8.rotation(theta, "exp") @ nearest[:20]
        assert (torch.linalg.matrix_norm(other - turned) > away).all()


def test_orthogonality_error_sees_a_stretched_matrix() -> None:
    assert float(so8.orthogonality_error(torch.eye(8) * 1.1)) == pytest.approx(0.21 * 8**0.5)

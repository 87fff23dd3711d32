"""Kernels on a GPU. On a machine with one: python -m pytest tests/model/test_kernels.py"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from so8t_core.model import ops, so8
from so8t_core.model.ops import reference

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: Triton kernels run nowhere else"
)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
HALF_STEP = {torch.float32: 2e-6, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cuda").to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "blocks"), [(0, 4), (1, 1), (7, 9), (333, 72), (1025, 384)])
def test_kernels_agree_with_float64(dtype: torch.dtype, rows: int, blocks: int) -> None:
    hidden, matrices = drawn(rows, blocks * 8, dtype=dtype), drawn(blocks, 8, 8, seed=1)
    upstream = drawn(rows, blocks * 8, dtype=dtype, seed=2)
    h, m = hidden.clone().requires_grad_(), matrices.clone().requires_grad_()
    y = ops.rotate(h, m)
    y.backward(upstream)
    wide = [tensor.double() for tensor in (hidden, matrices, upstream)]
    down, gradient = reference.backward(*wide)
    assert y.dtype == dtype
    assert h.grad is not None
    assert m.grad is not None
    for found, exact, half_step in (
        (y, reference.forward(*wide[:2]), HALF_STEP[dtype]),
        (h.grad, down, HALF_STEP[dtype]),
        (m.grad, gradient, 2e-6),
    ):
        assert found.shape == exact.shape
        scale = exact.abs().amax() if exact.numel() else 1.0
        assert (
            (found.double() - exact).abs()
            <= half_step * (exact.abs() + 1e-3 * scale) + 1e-5 * scale
        ).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_identity_is_exact_and_gradients_have_the_same_bits_twice(dtype: torch.dtype) -> None:
    hidden = drawn(2, 513, 576, dtype=dtype)
    identity = torch.eye(8, device="cuda").repeat(72, 1, 1)
    assert torch.equal(ops.rotate(hidden, identity), hidden)
    results = []
    for _ in range(3):
        m = drawn(72, 8, 8, seed=1).requires_grad_()
        ops.rotate(hidden, m).backward(drawn(2, 513, 576, dtype=dtype, seed=2))
        results.append(m.grad)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_what_has_no_kernel_is_computed_by_the_reference_and_counted() -> None:
    hidden, matrices = drawn(5, 16).double(), drawn(2, 8, 8)
    before = sum(ops.fallbacks().values())
    assert torch.equal(ops.rotate(hidden, matrices), so8.rotate(hidden, matrices))
    assert sum(ops.fallbacks().values()) == before + 1


def test_dequantized_rows_equal_the_reference_to_the_bit() -> None:
    codes = torch.randint(-127, 128, (33, 1500), dtype=torch.int8, device="cuda")
    scales = drawn(33).abs()
    for dtype in DTYPES:
        expected = reference.dequantize(codes, scales, dtype)
        assert torch.equal(ops.dequantize(codes, scales, dtype), expected)
        beside = drawn(33, 24, dtype=dtype)
        together = ops.dequantize(codes, scales, dtype, beside)
        assert torch.equal(together, torch.cat((expected, beside), dim=1))


def test_a_compiled_gate_computes_the_same() -> None:
    from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate

    gate = SO8TRotationGate(64).cuda()
    torch.nn.init.normal_(gate.theta, std=0.3)
    hidden = drawn(40, 64, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = gate(hidden)
        assert torch.equal(torch.compile(gate, backend="eager")(hidden), expected)


@pytest.mark.parametrize("spread", [0.0, 1e-3, 0.3, 3.0, 30.0])
@pytest.mark.parametrize(("gates", "blocks"), [(1, 1), (3, 33), (2, 384)])
def test_built_rotations_and_their_gradient_agree_with_float64(
    gates: int, blocks: int, spread: float
) -> None:
    theta = (drawn(gates, blocks, 28) * spread).requires_grad_()
    upstream = drawn(gates, blocks, 8, 8, seed=1)
    before = ops.fallbacks()
    built = ops.rotation(theta, "exp")
    built.backward(upstream)
    assert ops.fallbacks() == before
    wide = theta.detach().double().requires_grad_()
    exact = so8.rotation(wide, "exp")
    exact.backward(upstream.double())
    assert theta.grad is not None
    assert wide.grad is not None
    assert built.dtype == torch.float32
    assert (built - exact).abs().max() <= 1e-7
    assert (theta.grad - wide.grad).abs().max() <= 2e-7 * wide.grad.abs().max()
    if not spread:
        assert torch.equal(built, torch.eye(8, device="cuda").expand_as(built))


def test_gates_without_blocks_have_no_rotations() -> None:
    theta = torch.empty(2, 0, 28, device="cuda", requires_grad=True)
    built = ops.rotation(theta, "exp")
    built.sum().backward()
    assert built.shape == (2, 0, 8, 8)
    assert theta.grad is not None
    assert theta.grad.shape == theta.shape


def test_gradients_of_rotations_have_the_same_bits_twice() -> None:
    gradients = []
    for _ in range(2):
        theta = drawn(2, 384, 28).requires_grad_()
        ops.rotation(theta, "exp").backward(drawn(2, 384, 8, 8, seed=1))
        gradients.append(theta.grad)
    assert torch.equal(gradients[0], gradients[1])


def test_rotations_without_a_kernel_are_counted() -> None:
    theta = drawn(2, 28)
    before = sum(ops.fallbacks().values())
    assert torch.equal(ops.rotation(theta, "cayley"), so8.rotation(theta, "cayley"))
    assert sum(ops.fallbacks().values()) == before + 1


def near(found: Tensor, expected: Tensor, half_step: float) -> None:
    """Within the rounding of the dtype, relative to the largest number."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = expected.double().abs().max() if expected.numel() else 1.0
    assert ((found.double() - expected.double()).abs() <= 4 * half_step * scale).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "width", "rank"), [(0, 64, 4), (1, 8, 1), (333, 200, 5), (1025, 3072, 64)]
)
def test_lora_with_dropout_agrees_with_the_reference(
    dtype: torch.dtype, rows: int, width: int, rank: int
) -> None:
    x, out = drawn(rows, width, dtype=dtype), drawn(rows, width, dtype=dtype, seed=1)
    a, g = drawn(rank, width, dtype=dtype, seed=2), drawn(rows, rank, dtype=dtype, seed=3)
    half_step = max(HALF_STEP[dtype], 1e-5)
    for probability in (0.0, 0.05, 0.5):
        dropout = reference.Dropout(probability, (123456789, 2**31 - 2))
        before = ops.fallbacks()
        near(ops.lora_down(x, a, dropout), reference.down(x, a, dropout), half_step)
        added = ops.lora_up_into(out.clone(), g, a, dropout)
        near(added, reference.up_into(out.clone(), g, a, dropout), half_step)
        gradient = ops.lora_gradient_of_a(g, x, dropout)
        near(gradient, reference.gradient_of_a(g, x, dropout), 1e-5)
        assert torch.equal(gradient, ops.lora_gradient_of_a(g, x, dropout))
        place = x.new_zeros(rows, width + rank)
        place[:, :width] = x
        apart, room = place[:, :width], place[:, width:]
        ops.lora_down(apart, a, dropout, room)
        assert torch.equal(room, ops.lora_down(x, a, dropout))
        assert torch.equal(ops.lora_gradient_of_a(g, apart, dropout), gradient)
        assert ops.fallbacks() == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_turned_weights_agree_with_the_reference_and_are_the_base_at_identity(
    dtype: torch.dtype,
) -> None:
    codes = torch.randint(-127, 128, (72, 1500), dtype=torch.int8, device="cuda")
    scales, matrices = drawn(72).abs(), so8.rotation(0.3 * drawn(9, 28), "exp")
    half_step = max(HALF_STEP[dtype], 1e-5)
    for weight, with_scales in ((codes, scales), (drawn(72, 1500, dtype=dtype), None)):
        found = ops.dequantize_turned(weight, with_scales, matrices, dtype)
        expected = reference.dequantize_turned(weight, with_scales, matrices, dtype)
        near(found, expected, half_step)
    identity = torch.eye(8, device="cuda").expand(9, 8, 8)
    same = ops.dequantize_turned(codes, scales, identity, dtype)
    assert torch.equal(same, ops.dequantize(codes, scales, dtype))
    g, y = drawn(333, 72, dtype=dtype), drawn(333, 72, dtype=dtype, seed=1)
    gradient = ops.rotation_gradient(g, y, matrices)
    near(gradient, reference.rotation_gradient(g, y, matrices), 1e-5)
    assert torch.equal(ops.rotation_gradient(g, y, matrices), gradient)
    assert not ops.rotation_gradient(g[:0], y[:0], matrices).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_joined_products_agree_with_the_reference(dtype: torch.dtype) -> None:
    half_step = max(HALF_STEP[dtype], 1e-5)
    joined, g = drawn(333, 2 * 1300, dtype=dtype), drawn(333, 1300, dtype=dtype, seed=1)
    near(ops.swiglu(joined), reference.swiglu(joined), half_step)
    near(ops.swiglu_back(joined, g), reference.swiglu_back(joined, g), half_step)
    x, added = drawn(333, 3072, dtype=dtype), drawn(333, 3072, dtype=dtype, seed=1)
    weight = drawn(3072, dtype=dtype, seed=2)
    for summand in (None, added):
        expected = reference.norm(x, summand, weight, 1e-5)
        for found, wanted in zip(ops.norm(x, summand, weight, 1e-5), expected, strict=True):
            near(found, wanted, half_step)
        place = x.new_zeros(333, 3136)
        ops.norm(x, summand, weight, 1e-5, place[:, :3072])
        assert torch.equal(place[:, :3072], ops.norm(x, summand, weight, 1e-5)[1])
        assert not place[:, 3072:].any()
        back = (drawn(333, 3072, dtype=dtype, seed=3), summand, expected[0], weight, expected[2])
        near(ops.norm_back(*back), reference.norm_back(*back), half_step)
    for queries, keys, size, turned in ((4, 2, 24, 24), (32, 32, 96, 96), (20, 4, 16, 12)):
        joined = drawn(2, 33, (queries + 2 * keys) * size, dtype=dtype)
        angles = drawn(1, 33, turned // 2).repeat(1, 1, 2)
        cosines, sines = angles.cos().to(dtype), angles.sin().to(dtype)
        near(
            ops.turn_heads(joined.clone(), cosines, sines, (queries, keys)),
            reference.turn_heads(joined.clone(), cosines, sines, (queries, keys)),
            half_step,
        )
        parts = [
            drawn(2, 33, heads, size, dtype=dtype, seed=heads).transpose(1, 2)
            for heads in (queries, keys, keys)
        ]
        near(
            ops.turn_heads_back(*parts, cosines, sines),
            reference.turn_heads_back(*parts, cosines, sines),
            half_step,
        )

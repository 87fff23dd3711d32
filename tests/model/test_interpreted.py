"""Kernels in Triton's interpreter, where Triton is installed: no GPU needed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not part of torch for CPUs")

EXPONENTIAL = """
import contextlib
import torch
from so8t_core.model import so8
from so8t_core.model.ops import exponential, reference

torch.cuda.device_of = lambda tensor: contextlib.nullcontext()
torch.manual_seed(0)
for spread in (0.0, 0.3, 3.0):
    theta = torch.randn(2, 5, 28) * spread
    upstream = torch.randn(2, 5, 8, 8)
    built = exponential.build(theta)
    wide = theta.double()
    exact = reference.build(wide)
    assert (built - exact).abs().max() <= 1e-7, spread
    assert spread or torch.equal(built, torch.eye(8).expand_as(built))
    gradient = exponential.send_back(theta, built, upstream)
    expected = reference.send_back(wide, exact, upstream)
    assert (gradient - expected).abs().max() <= 2e-7 * expected.abs().max(), spread
"""

LORA = """
import contextlib
import torch
from so8t_core.model import so8
from so8t_core.model.ops import lora, reference
from so8t_core.model.ops import triton as kernels

torch.cuda.device_of = lambda tensor: contextlib.nullcontext()
torch.manual_seed(0)

def near(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()

for rows, width, rank, probability in ((130, 200, 5, 0.3), (64, 128, 16, 0.0), (333, 96, 64, 0.05)):
    keys = tuple(torch.randint(0, 2**31 - 1, (2,)).tolist())
    dropout = reference.Dropout(probability, keys)
    x, a, g = torch.randn(rows, width), torch.randn(rank, width), torch.randn(rows, rank)
    out = torch.randn(rows, width)
    near(lora.down(x, a, dropout), reference.down(x, a, dropout))
    near(lora.up_into(out.clone(), g, a, dropout), reference.up_into(out.clone(), g, a, dropout))
    near(lora.gradient_of_a(g, x, dropout), reference.gradient_of_a(g, x, dropout))
    place = torch.zeros(rows, width + rank)
    place[:, :width] = x
    apart, room = place[:, :width], place[:, width:]
    lora.down(apart, a, dropout, room)
    near(room, reference.down(x, a, dropout))
    assert torch.equal(apart, x)
    near(lora.gradient_of_a(g, apart, dropout), reference.gradient_of_a(g, x, dropout))
matrices = so8.rotation(0.3 * torch.randn(9, 28), "exp")
codes = torch.randint(-127, 128, (72, 600), dtype=torch.int8)
scales = torch.rand(72)
for weights, with_scales in ((codes, scales), (torch.randn(72, 600), None)):
    one = (weights, with_scales, matrices, torch.float32)
    near(kernels.dequantize_turned(*one), reference.dequantize_turned(*one))
beside = torch.randn(72, 5)
together = kernels.dequantize(codes, scales, torch.float32, beside)
assert torch.equal(together, reference.dequantize(codes, scales, torch.float32, beside))
identity = torch.eye(8).expand(9, 8, 8)
same = kernels.dequantize_turned(codes, scales, identity, torch.float32)
assert torch.equal(same, reference.dequantize(codes, scales, torch.float32))
g, y = torch.randn(50, 72), torch.randn(50, 72)
gradient = reference.rotation_gradient(g, y, matrices)
near(kernels.rotation_gradient(g, y, matrices), gradient)
apart = matrices.permute(1, 2, 0).contiguous().permute(2, 0, 1)
near(kernels.rotation_gradient(g, y, apart), gradient)
assert not kernels.rotation_gradient(g[:0], y[:0], matrices).any()
near(kernels.backward(y, matrices, g)[1], reference.backward(y, matrices, g)[1])
"""

PHI3 = """
import contextlib
import torch
from so8t_core.model.ops import norms, phi3, reference

torch.cuda.device_of = lambda tensor: contextlib.nullcontext()
torch.manual_seed(0)
joined, upstream = torch.randn(5, 2 * 1300), torch.randn(5, 1300)
torch.testing.assert_close(phi3.swiglu(joined), reference.swiglu(joined))
place = torch.zeros(5, 1307)
phi3.swiglu(joined, place[:, :1300])
torch.testing.assert_close(place[:, :1300], reference.swiglu(joined))
assert not place[:, 1300:].any()
torch.testing.assert_close(
    phi3.swiglu_back(joined, upstream), reference.swiglu_back(joined, upstream)
)
x, added, weight = torch.randn(5, 200), torch.randn(5, 200), torch.randn(200)
for summand in (None, added):
    expected = reference.norm(x, summand, weight, 1e-3)
    place = torch.zeros(5, 207)
    for out in (None, place[:, :200]):
        found = norms.norm(x, summand, weight, 1e-3, out)
        for one, other in zip(found, expected):
            torch.testing.assert_close(one, other)
    torch.testing.assert_close(place[:, :200], expected[1])
    assert not place[:, 200:].any()
    total, _, scales = expected
    of_total = None if summand is None else torch.randn(5, 200)
    back = (torch.randn(5, 200), of_total, total, weight, scales)
    torch.testing.assert_close(norms.norm_back(*back), reference.norm_back(*back))
for queries, keys, size, turned in ((4, 2, 24, 24), (20, 4, 16, 12)):
    joined = torch.randn(2, 7, (queries + 2 * keys) * size)
    angles = torch.randn(2, 7, turned // 2).repeat(1, 1, 2)
    for batch in (1, 2):
        c, s = angles[:batch].cos(), angles[:batch].sin()
        torch.testing.assert_close(
            phi3.turn_heads(joined.clone(), c, s, (queries, keys)),
            reference.turn_heads(joined.clone(), c, s, (queries, keys)),
        )
        q, k, v = (
            torch.randn(2, 7, heads, size).transpose(1, 2) for heads in (queries, keys, keys)
        )
        torch.testing.assert_close(
            phi3.turn_heads_back(q, k.contiguous(), v, c, s), reference.turn_heads_back(q, k, v, c, s)
        )
"""


@pytest.mark.parametrize("program", [EXPONENTIAL, LORA, PHI3], ids=["exponential", "lora", "phi3"])
def test_the_kernels_compute_what_the_reference_does(program: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

"""The kernels of the exponential in Triton's interpreter, where Triton is installed: no GPU needed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not part of torch for CPUs")

PROGRAM = """
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


def test_the_kernels_compute_what_the_reference_does() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

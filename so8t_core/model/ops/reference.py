"""The operations in plain PyTorch: what the kernels are tested against, and the CPU's path."""

from __future__ import annotations

import torch
from torch import Tensor

from so8t_core.model.so8 import BLOCK, rotate, rotation


def forward(hidden: Tensor, matrices: Tensor) -> Tensor:
    """y_b = R_b h_b for each block of the last dimension.

    `hidden`: (..., 8 n) of any floating dtype; `matrices`: (n, 8, 8), float32 or float64. Returns
    the shape and dtype of `hidden`; equal to it to the bit where every R is the identity.
    """
    return rotate(hidden, matrices)


def turn_back(upstream: Tensor, matrices: Tensor) -> Tensor:
    """The gradient of `hidden` alone: R_bᵀ g_b, in the shape and dtype of `upstream`."""
    return rotate(upstream, matrices.mT)


def backward(hidden: Tensor, matrices: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `hidden` (its dtype) and of `matrices` (theirs): R_bᵀ g_b and Σ g_b h_bᵀ."""
    blocks = matrices.shape[0]
    h = hidden.reshape(-1, blocks, BLOCK).to(matrices.dtype).transpose(0, 1)  # (n, tokens, 8)
    g = upstream.reshape(-1, blocks, BLOCK).to(matrices.dtype).transpose(0, 1)
    with torch.autocast(hidden.device.type, enabled=False):
        return turn_back(upstream, matrices), torch.bmm(g.mT, h)


def dequantize(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Int8 codes · scales / 127 by rows, computed in float32 and rounded once to `dtype`.

    `codes`: (rows, columns) int8; `scales`: (rows,) float32, the largest magnitude of each row.
    """
    return (codes.to(torch.float32) * (scales * (1.0 / 127.0))[:, None]).to(dtype)


def build(thetas: Tensor) -> Tensor:
    """R = exp(A) of every block of every gate.

    `thetas`: (gates, n, 28) float32 or float64. Returns (gates, n, 8, 8) of that dtype, computed in
    float64; the identity to the bit where theta is zero.
    """
    return rotation(thetas, "exp")


def send_back(thetas: Tensor, built: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of `thetas`, of its shape and dtype.

    `built`: what `build` made of them; `upstream`: the gradient of that, (gates, n, 8, 8).
    """
    leaf = thetas.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(rotation(leaf, "exp"), leaf, upstream.to(built.dtype))
    return gradient

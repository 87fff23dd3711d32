"""Triton kernels: a sum and its root-mean-square norm, forward and backward, in one pass each.

Arithmetic in float32, each result rounded once; the sum is rounded before it is normed, as it would
be if it were computed alone.
"""

# triton has no annotations
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, no-any-return"
# ruff: noqa: N803
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_WARPS = 8


@triton.jit
def _norm(
    x,
    added,
    weight,
    total,
    out,
    scales,
    out_stride,
    width,
    epsilon,
    ADD: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, COLUMNS)
    mask = column < width
    at = row * width + column
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    kind = out.dtype.element_ty
    if ADD:
        value += tl.load(added + at, mask=mask, other=0.0).to(tl.float32)
        rounded = value.to(kind)
        tl.store(total + at, rounded, mask=mask)
        value = rounded.to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value, axis=0) / width + epsilon)
    tl.store(scales + row, scale)
    w = tl.load(weight + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + column, (value * scale * w).to(kind), mask=mask)


@triton.jit
def _norm_back(
    upstream,
    of_total,
    total,
    weight,
    scales,
    out,
    width,
    ADD: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, COLUMNS)
    mask = column < width
    at = row * width + column
    g = tl.load(upstream + at, mask=mask, other=0.0).to(tl.float32)
    g *= tl.load(weight + column, mask=mask, other=0.0).to(tl.float32)
    scale = tl.load(scales + row)
    normed = tl.load(total + at, mask=mask, other=0.0).to(tl.float32) * scale
    value = scale * (g - normed * (tl.sum(g * normed, axis=0) / width))
    if ADD:
        value += tl.load(of_total + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)


def norm(
    x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum, its norm, and what it was multiplied by. See `reference.norm`."""
    rows, width = x.shape
    if out is None:
        out = torch.empty_like(x)
    total = x if added is None else torch.empty_like(x)
    scales = torch.empty(rows, dtype=torch.float32, device=x.device)
    if rows:
        with torch.cuda.device_of(x):
            _norm[(rows,)](
                x,
                x if added is None else added,
                weight,
                total,
                out,
                scales,
                out.stride(0),
                width,
                epsilon,
                ADD=added is not None,
                COLUMNS=triton.next_power_of_2(width),
                num_warps=_WARPS,
            )
    return total, out, scales


def norm_back(
    upstream: Tensor, of_total: Tensor | None, total: Tensor, weight: Tensor, scales: Tensor
) -> Tensor:
    """The gradient of the sum. See `reference.norm_back`."""
    rows, width = total.shape
    out = torch.empty_like(total)
    if rows:
        with torch.cuda.device_of(total):
            _norm_back[(rows,)](
                upstream,
                upstream if of_total is None else of_total,
                total,
                weight,
                scales,
                out,
                width,
                ADD=of_total is not None,
                COLUMNS=triton.next_power_of_2(width),
                num_warps=_WARPS,
            )
    return out

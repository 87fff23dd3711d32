"""Triton kernels: R = exp(A) of every block of a model at once, and its gradient, in float64.

A matrix of eight is too small for a matrix unit and for a product of PyTorch's (a launch for each
of some forty products, all of them waiting for memory). Here one thread keeps one whole matrix to
itself, from its 28 numbers to R, in registers but for some hundred bytes of stack, so that little
else than parameters and results moves. How quick that is on a GPU has not been measured yet.

Tuples stand for matrices: Triton has no array of registers, but unrolls loops over tuples.
"""

# triton has no annotations
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, no-any-return, assignment"
# Triton knows tuples that are added up, not unpacked ones
# ruff: noqa: E501, N803, RUF005
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from so8t_core.model.so8 import BLOCK, DEGREE, FREEDOMS, SQUARINGS

# A warp holds 32 matrices; one warp a program spreads the 384 of Phi-3.5-mini over an H100's
# 132 multiprocessors.
_LANES = 32
_LAUNCH = {"LANES": _LANES, "num_warps": _LANES // 32, "maxnreg": 255}
_EXPONENTIAL = {"SCALE": 2.0**-SQUARINGS, "SQUARED": SQUARINGS, "DEGREE": DEGREE, **_LAUNCH}


@triton.jit
def _skew_row(t, ROW: tl.constexpr, SIGN: tl.constexpr):
    """That row of the skew-symmetric matrix of 28 numbers; on the diagonal a zero nobody reads."""
    row = ()
    for j in tl.static_range(8):
        if j > ROW:
            row = row + (t[ROW * (15 - ROW) // 2 + j - ROW - 1] * SIGN,)
        elif j < ROW:
            row = row + (t[j * (15 - j) // 2 + ROW - j - 1] * (-SIGN),)
        else:
            row = row + (tl.zeros_like(t[0]),)
    return row


@triton.jit
def _skew(t, SIGN: tl.constexpr):
    """The skew-symmetric matrix of 28 numbers times SIGN, as eight rows of eight."""
    rows = ()
    for i in tl.static_range(8):
        rows = rows + (_skew_row(t, i, SIGN),)
    return rows


@triton.jit
def _dot_but(a, x, ROW: tl.constexpr):
    """That row of a skew-symmetric matrix times x: what stands on the diagonal is left out."""
    total = tl.zeros_like(x[0])
    for k in tl.static_range(8):
        if k != ROW:
            total += a[k] * x[k]
    return total


@triton.jit
def _horner_step(a, b, factor):
    """(A + A B) · factor, A skew-symmetric in rows, B and the result as eight columns."""
    columns = ()
    for j in tl.static_range(8):
        column = ()
        for i in tl.static_range(8):
            column = column + ((a[i][j] + _dot_but(a[i], b[j], i)) * factor,)
        columns = columns + (column,)
    return columns


@triton.jit
def _away(a, DEGREE: tl.constexpr):
    """exp(A) - I for a small skew-symmetric A, as eight columns of eight, by Horner's rule."""
    b = ()
    for j in tl.static_range(8):
        column = ()
        for i in tl.static_range(8):
            column = column + (a[i][j] * (1.0 / DEGREE),)
        b = b + (column,)
    order = tl.full((), DEGREE - 1, tl.float64)
    for _ in range(DEGREE - 1):
        b = _horner_step(a, b, 1.0 / order)
        order -= 1.0
    return b


@triton.jit
def _squared(b):
    """2 B + B², B and the result as eight columns: exp(2A) - I from exp(A) - I."""
    columns = ()
    for j in tl.static_range(8):
        column = ()
        for i in tl.static_range(8):
            total = 2.0 * b[j][i]
            for k in tl.static_range(8):
                total += b[k][i] * b[j][k]
            column = column + (total,)
        columns = columns + (column,)
    return columns


@triton.jit
def _parameters(thetas, matrix, mask, SCALE: tl.constexpr):
    """The 28 numbers of each lane's matrix, in float64, times SCALE."""
    t = ()
    for k in tl.static_range(28):
        value = tl.load(thetas + matrix * 28 + k, mask=mask, other=0.0)
        t = t + (value.to(tl.float64) * SCALE,)
    return t


@triton.jit
def _build(
    thetas,
    out,
    matrices,
    blocks,
    SCALE: tl.constexpr,
    SQUARED: tl.constexpr,
    DEGREE: tl.constexpr,
    LANES: tl.constexpr,
):
    matrix = tl.program_id(0) * LANES + tl.arange(0, LANES)
    mask = matrix < matrices
    b = _away(_skew(_parameters(thetas, matrix, mask, SCALE), 1.0), DEGREE)
    for _ in range(SQUARED):
        b = _squared(b)
    at = out + matrix // blocks * 64 * blocks + matrix % blocks
    for i in tl.static_range(8):
        for j in tl.static_range(8):
            value = b[j][i]
            if i == j:
                value += 1.0
            tl.store(at + (8 * i + j) * blocks, value.to(tl.float32), mask=mask)


@triton.jit
def _commutator(y, n):
    """Y N - N Y of skew-symmetric matrices in rows, as the 28 numbers of the result."""
    t = ()
    for i in tl.static_range(8):
        for j in tl.static_range(8):
            if i < j:
                total = tl.zeros_like(y[0][0])
                for k in tl.static_range(8):
                    if (k != i) and (k != j):
                        total += y[i][k] * n[k][j] - y[j][k] * n[k][i]
                t = t + (total,)
    return t


@triton.jit
def _series_step(first, y, t, factor):
    """First + (Y N - N Y) · factor, all but Y as 28 numbers."""
    turned = _commutator(y, _skew(t, 1.0))
    following = ()
    for k in tl.static_range(28):
        following = following + (first[k] + turned[k] * factor,)
    return following


@triton.jit
def _average_turned(b, t):
    """(N + E N Eᵀ) / 2 for E = I + B (eight columns) and N skew-symmetric, both as 28 numbers."""
    n = _skew(t, 1.0)
    result = ()
    for i in tl.static_range(8):
        row = ()
        for j in tl.static_range(8):
            total = n[i][j]
            for k in tl.static_range(8):
                if k != j:
                    total += b[k][i] * n[k][j]
            row = row + (total,)
        for j in tl.static_range(8):
            if i < j:
                total = row[j]
                for k in tl.static_range(8):
                    total += row[k] * b[k][j]
                result = result + (0.5 * (n[i][j] + total),)
    return result


@triton.jit
def _rows(base, blocks, mask):
    """Eight rows of eight, as they are stored."""
    rows = ()
    for i in tl.static_range(8):
        row = ()
        for j in tl.static_range(8):
            row = row + (tl.load(base + (8 * i + j) * blocks, mask=mask, other=0.0),)
        rows = rows + (row,)
    return rows


@triton.jit
def _skew_gradient(built, upstream):
    """G Rᵀ - R Gᵀ as 28 numbers in float64."""
    t = ()
    for i in tl.static_range(8):
        for j in tl.static_range(8):
            if i < j:
                total = tl.zeros_like(built[0][0]).to(tl.float64)
                for k in tl.static_range(8):
                    total += upstream[i][k].to(tl.float64) * built[j][k].to(tl.float64)
                    total -= upstream[j][k].to(tl.float64) * built[i][k].to(tl.float64)
                t = t + (total,)
    return t


@triton.jit
def _skew_part(built, upstream, out, matrices, blocks, LANES: tl.constexpr):
    matrix = tl.program_id(0) * LANES + tl.arange(0, LANES)
    mask = matrix < matrices
    at = matrix // blocks * 64 * blocks + matrix % blocks
    t = _skew_gradient(_rows(built + at, blocks, mask), _rows(upstream + at, blocks, mask))
    for k in tl.static_range(28):
        tl.store(out + k * matrices + matrix, t[k], mask=mask)


@triton.jit
def _send_back(
    thetas,
    skew_parts,
    out,
    matrices,
    SCALE: tl.constexpr,
    SQUARED: tl.constexpr,
    DEGREE: tl.constexpr,
    LANES: tl.constexpr,
):
    matrix = tl.program_id(0) * LANES + tl.arange(0, LANES)
    mask = matrix < matrices
    first = ()
    for k in tl.static_range(28):
        first = first + (tl.load(skew_parts + k * matrices + matrix, mask=mask, other=0.0),)
    y = _skew(_parameters(thetas, matrix, mask, SCALE), -1.0)
    # (e^z - 1) / z of z = ad Y, by Horner's rule
    n = first
    order = tl.full((), DEGREE + 1, tl.float64)
    for _ in range(DEGREE):
        n = _series_step(first, y, n, 1.0 / order)
        order -= 1.0
    b = _away(y, DEGREE)
    for _ in range(SQUARED):
        n = _average_turned(b, n)
        b = _squared(b)
    for k in tl.static_range(28):
        tl.store(out + matrix * 28 + k, n[k].to(tl.float32), mask=mask)


def build(thetas: Tensor) -> Tensor:
    """R = exp(A) of each block. See `reference.build`; `thetas` float32, on a CUDA device.

    The blocks of a gate lie side by side in memory, as the kernels that turn hidden states read
    them.
    """
    thetas = thetas.contiguous()
    gates, blocks, _ = thetas.shape
    out = thetas.new_empty((gates, BLOCK, BLOCK, blocks))
    count = gates * blocks
    if count:
        with torch.cuda.device_of(thetas):
            _build[(triton.cdiv(count, _LANES),)](thetas, out, count, blocks, **_EXPONENTIAL)
    return out.permute(0, 3, 1, 2)


def send_back(thetas: Tensor, built: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of `thetas`. See `reference.send_back`; all float32, on a CUDA device.

    With N = G Rᵀ - R Gᵀ the gradient is ((e^z - 1)/z)(N), z = ad(-A): a short series for A / 2^9,
    doubled nine times by (e^2z - 1)/2z = (1 + e^z)/2 · (e^z - 1)/z, where e^z turns N by exp(-A)
    (Hall, Lie Groups, 2015, theorem 5.4; docs/model.md). N stays skew-symmetric throughout.
    """
    thetas = thetas.contiguous()
    gates, blocks, _ = thetas.shape
    out = thetas.new_empty((gates, blocks, FREEDOMS))
    count = gates * blocks
    if count:
        grid = (triton.cdiv(count, _LANES),)
        parts = thetas.new_empty((FREEDOMS, count), dtype=torch.float64)
        r, g = (one.permute(0, 2, 3, 1).contiguous() for one in (built, upstream))
        with torch.cuda.device_of(thetas):
            _skew_part[grid](r, g, parts, count, blocks, **_LAUNCH)
            _send_back[grid](thetas, parts, out, count, **_EXPONENTIAL)
    return out

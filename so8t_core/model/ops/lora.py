"""Triton kernels of a LoRA product with dropout: the mask is computed where it is used.

Dropout in front of LoRA's A is three passes over the activations and a mask that has to be kept:
more time than LoRA's own products. Here each kernel computes the mask of its tile from the place of
each number and two keys, so the dropped-out activations are never written down.

Products are those of tensor cores for 16-bit numbers and IEEE float32 for float32, with sums in
float32. No sum is shared between programs, so equal inputs give equal bits.
"""

# triton has no annotations
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, no-any-return"
# ruff: noqa: N803
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from so8t_core.model.ops.reference import FELLOW, Dropout, pairs_in

_ROWS = 64
_STAGES = 3
_WARPS = 4
_DOWN_ROWS = 32
_DOWN_STAGES = 4
"""One H100, 8,192 x 3072 by rank 64: 40 us, and 60 with 64 rows and 3 stages (docs/log.md)."""
_PROGRAMS = 264
"""Programs that keep an H100 busy: two for each of its multiprocessors."""


@triton.jit
def _hash(row, pair, pairs, key0, key1):
    """Thirty-two bits, sixteen for each number of a pair. See `reference.kept`."""
    x = (row * pairs + pair).to(tl.uint32) ^ key0.to(tl.uint32)
    x ^= x >> 17
    x *= 0xED5AD4BB
    x ^= key1.to(tl.uint32)
    x ^= x >> 11
    x *= 0xAC4C1B51
    x ^= x >> 15
    x *= 0x31848BAB
    x ^= x >> 14
    return x


@triton.jit
def _dropped(x, x_stride, row, column, last_row, width, bits, threshold):
    """A tile of x, zero where dropout takes a number away."""
    inside = (row < last_row) & (column < width)
    tile = tl.load(x + row * x_stride + column, mask=inside, other=0.0)
    return tl.where(bits >= threshold.to(tl.uint32), tile, 0.0)


@triton.jit(do_not_specialize=["key0", "key1", "threshold"])
def _down(
    x,
    a,
    out,
    x_stride,
    out_stride,
    rows,
    width,
    rank,
    pairs,
    key0,
    key1,
    threshold,
    scale,
    ROWS: tl.constexpr,
    FELLOW: tl.constexpr,
    RANK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    r = tl.arange(0, RANK)
    total = tl.zeros((ROWS, RANK), dtype=tl.float32)
    for first in range(0, width, 2 * FELLOW):
        pair = first // 2 + tl.arange(0, FELLOW)
        bits = _hash(row[:, None], pair[None, :], pairs, key0, key1)
        for half in tl.static_range(2):
            column = first + half * FELLOW + tl.arange(0, FELLOW)
            own = bits >> 16 if half else bits & 0xFFFF
            tile = _dropped(x, x_stride, row[:, None], column[None, :], rows, width, own, threshold)
            there = (r[None, :] < rank) & (column[:, None] < width)
            turned = tl.load(a + r[None, :] * width + column[:, None], mask=there, other=0.0)
            total = tl.dot(tile, turned, total, input_precision="ieee")
    at = out + row[:, None] * out_stride + r[None, :]
    mask = (row[:, None] < rows) & (r[None, :] < rank)
    tl.store(at, (total * scale).to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["key0", "key1", "threshold"])
def _up_into(
    out,
    g,
    a,
    rows,
    width,
    rank,
    pairs,
    key0,
    key1,
    threshold,
    scale,
    ROWS: tl.constexpr,
    FELLOW: tl.constexpr,
    RANK: tl.constexpr,
):
    tiles = tl.cdiv(width, 2 * FELLOW)
    row = (tl.program_id(0) // tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(0) % tiles * (2 * FELLOW)
    r = tl.arange(0, RANK)
    left = tl.load(
        g + row[:, None] * rank + r[None, :],
        mask=(row[:, None] < rows) & (r[None, :] < rank),
        other=0.0,
    )
    pair = first // 2 + tl.arange(0, FELLOW)
    bits = _hash(row[:, None], pair[None, :], pairs, key0, key1)
    for half in tl.static_range(2):
        column = first + half * FELLOW + tl.arange(0, FELLOW)
        own = bits >> 16 if half else bits & 0xFFFF
        right = tl.load(
            a + r[:, None] * width + column[None, :],
            mask=(r[:, None] < rank) & (column[None, :] < width),
            other=0.0,
        )
        at = out + row[:, None] * width + column[None, :]
        inside = (row[:, None] < rows) & (column[None, :] < width)
        before = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        product = tl.dot(left, right, input_precision="ieee") * scale
        value = before + tl.where(own >= threshold.to(tl.uint32), product, 0.0)
        tl.store(at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["key0", "key1", "threshold"])
def _gradient_of_a(
    g,
    x,
    parts,
    x_stride,
    rows,
    width,
    rank,
    rows_a_part,
    pairs,
    key0,
    key1,
    threshold,
    scale,
    ROWS: tl.constexpr,
    FELLOW: tl.constexpr,
    RANK: tl.constexpr,
):
    tiles = tl.cdiv(width, 2 * FELLOW)
    part = tl.program_id(0) // tiles
    column = tl.program_id(0) % tiles * (2 * FELLOW) + tl.arange(0, FELLOW)
    pair = tl.program_id(0) % tiles * FELLOW + tl.arange(0, FELLOW)
    r = tl.arange(0, RANK)
    first = part.to(tl.int64) * rows_a_part
    last = tl.minimum(first + rows_a_part, rows)
    low = tl.zeros((RANK, FELLOW), dtype=tl.float32)
    high = tl.zeros((RANK, FELLOW), dtype=tl.float32)
    for offset in range(0, rows_a_part, ROWS):
        row = first + offset + tl.arange(0, ROWS)
        left = tl.load(
            g + row[None, :] * rank + r[:, None],
            mask=(row[None, :] < last) & (r[:, None] < rank),
            other=0.0,
        )
        bits = _hash(row[:, None], pair[None, :], pairs, key0, key1)
        near = _dropped(
            x, x_stride, row[:, None], column[None, :], last, width, bits & 0xFFFF, threshold
        )
        low = tl.dot(left, near, low, input_precision="ieee")
        far = _dropped(
            x, x_stride, row[:, None], column[None, :] + FELLOW, last, width, bits >> 16, threshold
        )
        high = tl.dot(left, far, high, input_precision="ieee")
    at = parts + (part * rank + r[:, None]).to(tl.int64) * width + column[None, :]
    mask = (r[:, None] < rank) & (column[None, :] < width)
    tl.store(at, low * scale, mask=mask)
    mask = (r[:, None] < rank) & (column[None, :] + FELLOW < width)
    tl.store(at + FELLOW, high * scale, mask=mask)


def _padded(rank: int) -> int:
    return max(16, triton.next_power_of_2(rank))


def down(x: Tensor, a: Tensor, dropout: Dropout, out: Tensor | None = None) -> Tensor:
    """drop(x) aᵀ. See `reference.down`."""
    (rows, width), rank = x.shape, a.shape[0]
    if out is None:
        out = torch.empty((rows, rank), dtype=x.dtype, device=x.device)
    if rows:
        with torch.cuda.device_of(x):
            _down[(triton.cdiv(rows, _DOWN_ROWS),)](
                x,
                a,
                out,
                x.stride(0),
                out.stride(0),
                rows,
                width,
                rank,
                pairs_in(width),
                *dropout.keys,
                dropout.threshold,
                dropout.scale,
                ROWS=_DOWN_ROWS,
                FELLOW=FELLOW,
                RANK=_padded(rank),
                num_warps=_WARPS,
                num_stages=_DOWN_STAGES,
            )
    return out


def up_into(out: Tensor, g: Tensor, a: Tensor, dropout: Dropout) -> Tensor:
    """Out + drop(g a), in place. See `reference.up_into`."""
    (rows, width), rank = out.shape, a.shape[0]
    if rows:
        with torch.cuda.device_of(out):
            _up_into[(triton.cdiv(rows, _ROWS) * triton.cdiv(width, 2 * FELLOW),)](
                out,
                g,
                a,
                rows,
                width,
                rank,
                pairs_in(width),
                *dropout.keys,
                dropout.threshold,
                dropout.scale,
                ROWS=_ROWS,
                FELLOW=FELLOW,
                RANK=_padded(rank),
                num_warps=_WARPS,
            )
    return out


def gradient_of_a(g: Tensor, x: Tensor, dropout: Dropout) -> Tensor:
    """gᵀ drop(x), float32. See `reference.gradient_of_a`.

    The rows are cut into parts whose number depends on the shape alone.
    """
    (rows, width), rank = x.shape, g.shape[1]
    if not rows:
        return x.new_zeros((rank, width), dtype=torch.float32)
    tiles = triton.cdiv(width, 2 * FELLOW)
    wished = max(1, min(triton.cdiv(_PROGRAMS, tiles), triton.cdiv(rows, 4 * _ROWS)))
    rows_a_part = triton.cdiv(triton.cdiv(rows, wished), _ROWS) * _ROWS
    count = triton.cdiv(rows, rows_a_part)
    parts = torch.empty((count, rank, width), dtype=torch.float32, device=x.device)
    with torch.cuda.device_of(x):
        _gradient_of_a[(tiles * count,)](
            g,
            x,
            parts,
            x.stride(0),
            rows,
            width,
            rank,
            rows_a_part,
            pairs_in(width),
            *dropout.keys,
            dropout.threshold,
            dropout.scale,
            ROWS=_ROWS,
            FELLOW=FELLOW,
            RANK=_padded(rank),
            num_warps=_WARPS,
            num_stages=_STAGES,
        )
    return parts.sum(dim=0)

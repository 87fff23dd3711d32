"""Triton kernels: block rotation forward and backward, and int8 rows to 16 bits.

A block's eight numbers are sixteen neighbouring bytes of a 16-bit row, so one thread holds whole
blocks: it loads a block at once, keeps the 64 numbers of R - I in registers over many rows, and
multiplies by plain fused multiply-adds. That is IEEE float32 throughout (no tensor core, hence no
TF32), no number passes between threads, and the kernels move their bytes at the speed of a copy.

The functions on tuples of 8 and 64 are longer than others, and so is the module, because Triton has
no array of registers to loop over.
"""

# triton has no annotations
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, no-any-return"
# ruff: noqa: N803
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from so8t_core.model.so8 import BLOCK

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
"""What `hidden` may be."""

# Measured on one H100 at 16,384 x 3072 (docs/log.md). A warp holds one row of 32 blocks.
_BLOCKS = 32
_WARPS = 4
_FORWARD_ROWS = 16
_FORWARD_ROWS_A_PROGRAM = 32
_BACKWARD_ROWS = 8
_BACKWARD_PARTS = 22
_BACKWARD_REGISTERS = 255
_DEQUANTIZED_COLUMNS = 1024
_TURNED_COLUMNS = 512
_TURNED_WARPS = 2


@triton.jit
def _split8(tile, ROWS: tl.constexpr, BLOCKS: tl.constexpr):
    """(ROWS, 8 BLOCKS) as eight tensors (ROWS, BLOCKS), element j of each block in the j-th."""
    even, odd = tl.split(tl.reshape(tile.to(tl.float32), (ROWS, BLOCKS, 2, 2, 2)))
    a, b = tl.split(even)
    c, d = tl.split(odd)
    x0, x4 = tl.split(a)
    x2, x6 = tl.split(b)
    x1, x5 = tl.split(c)
    x3, x7 = tl.split(d)
    return x0, x1, x2, x3, x4, x5, x6, x7


@triton.jit
def _join8(x, ROWS: tl.constexpr, BLOCKS: tl.constexpr):
    """The inverse of `_split8`."""
    even = tl.join(tl.join(x[0], x[4]), tl.join(x[2], x[6]))
    odd = tl.join(tl.join(x[1], x[5]), tl.join(x[3], x[7]))
    return tl.reshape(tl.join(even, odd), (ROWS, BLOCKS * 8))


@triton.jit
def _row(base, ROW: tl.constexpr, at, mask, column_stride):
    """One row of R - I for the program's blocks: eight tensors (1, BLOCKS)."""
    one = tl.where(mask, 1.0, 0.0)
    x0 = tl.load(base + at + 0 * column_stride, mask=mask, other=0.0)
    x1 = tl.load(base + at + 1 * column_stride, mask=mask, other=0.0)
    x2 = tl.load(base + at + 2 * column_stride, mask=mask, other=0.0)
    x3 = tl.load(base + at + 3 * column_stride, mask=mask, other=0.0)
    x4 = tl.load(base + at + 4 * column_stride, mask=mask, other=0.0)
    x5 = tl.load(base + at + 5 * column_stride, mask=mask, other=0.0)
    x6 = tl.load(base + at + 6 * column_stride, mask=mask, other=0.0)
    x7 = tl.load(base + at + 7 * column_stride, mask=mask, other=0.0)
    if ROW == 0:
        x0 -= one
    if ROW == 1:
        x1 -= one
    if ROW == 2:
        x2 -= one
    if ROW == 3:
        x3 -= one
    if ROW == 4:
        x4 -= one
    if ROW == 5:
        x5 -= one
    if ROW == 6:
        x6 -= one
    if ROW == 7:
        x7 -= one
    return x0, x1, x2, x3, x4, x5, x6, x7


@triton.jit
def _away(base, blocks, mask, block_stride, row_stride, column_stride):
    """R - I of the program's blocks: eight rows of eight tensors (1, BLOCKS)."""
    at = blocks * block_stride
    return (
        _row(base, 0, at, mask, column_stride),
        _row(base, 1, at + row_stride, mask, column_stride),
        _row(base, 2, at + 2 * row_stride, mask, column_stride),
        _row(base, 3, at + 3 * row_stride, mask, column_stride),
        _row(base, 4, at + 4 * row_stride, mask, column_stride),
        _row(base, 5, at + 5 * row_stride, mask, column_stride),
        _row(base, 6, at + 6 * row_stride, mask, column_stride),
        _row(base, 7, at + 7 * row_stride, mask, column_stride),
    )


@triton.jit
def _dot8(start, a, x):
    """Start + the dot product of two eights."""
    total = start + a[0] * x[0]
    total += a[1] * x[1]
    total += a[2] * x[2]
    total += a[3] * x[3]
    total += a[4] * x[4]
    total += a[5] * x[5]
    total += a[6] * x[6]
    total += a[7] * x[7]
    return total


@triton.jit
def _column(a, J: tl.constexpr):
    return a[0][J], a[1][J], a[2][J], a[3][J], a[4][J], a[5][J], a[6][J], a[7][J]


@triton.jit
def _add_outer(s, g, x):
    """A row of sums s plus g times each of eight."""
    return (
        s[0] + g * x[0],
        s[1] + g * x[1],
        s[2] + g * x[2],
        s[3] + g * x[3],
        s[4] + g * x[4],
        s[5] + g * x[5],
        s[6] + g * x[6],
        s[7] + g * x[7],
    )


@triton.jit
def _forward(
    hidden,
    matrices,
    out,
    rows,
    blocks,
    block_stride,
    row_stride,
    column_stride,
    ROWS_A_PROGRAM: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    tiles = tl.cdiv(blocks, BLOCKS)
    tile = tl.program_id(0) % tiles
    part = tl.program_id(0) // tiles
    block = tile * BLOCKS + tl.arange(0, BLOCKS)[None, :]
    a = _away(matrices, block, block < blocks, block_stride, row_stride, column_stride)
    column = tile * (BLOCKS * 8) + tl.arange(0, BLOCKS * 8)[None, :]
    width = blocks * 8
    first = part.to(tl.int64) * ROWS_A_PROGRAM
    for offset in range(0, ROWS_A_PROGRAM, ROWS):
        row = first + offset + tl.arange(0, ROWS)[:, None]
        mask = (row < rows) & (column < width)
        at = row * width + column
        h = _split8(tl.load(hidden + at, mask=mask, other=0.0), ROWS, BLOCKS)
        y = (
            _dot8(h[0], a[0], h),
            _dot8(h[1], a[1], h),
            _dot8(h[2], a[2], h),
            _dot8(h[3], a[3], h),
            _dot8(h[4], a[4], h),
            _dot8(h[5], a[5], h),
            _dot8(h[6], a[6], h),
            _dot8(h[7], a[7], h),
        )
        tl.store(out + at, _join8(y, ROWS, BLOCKS).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _store_row(base, s, block, mask, blocks, ROW: tl.constexpr):
    at = base + ROW * 8 * blocks + block
    tl.store(at + 0 * blocks, tl.sum(s[0], axis=0), mask=mask)
    tl.store(at + 1 * blocks, tl.sum(s[1], axis=0), mask=mask)
    tl.store(at + 2 * blocks, tl.sum(s[2], axis=0), mask=mask)
    tl.store(at + 3 * blocks, tl.sum(s[3], axis=0), mask=mask)
    tl.store(at + 4 * blocks, tl.sum(s[4], axis=0), mask=mask)
    tl.store(at + 5 * blocks, tl.sum(s[5], axis=0), mask=mask)
    tl.store(at + 6 * blocks, tl.sum(s[6], axis=0), mask=mask)
    tl.store(at + 7 * blocks, tl.sum(s[7], axis=0), mask=mask)


@triton.jit
def _backward(
    hidden,
    matrices,
    upstream,
    downstream,
    parts,
    rows,
    blocks,
    rows_a_part,
    block_stride,
    row_stride,
    column_stride,
    TURN: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    tiles = tl.cdiv(blocks, BLOCKS)
    tile = tl.program_id(0) % tiles
    part = tl.program_id(0) // tiles
    block = tile * BLOCKS + tl.arange(0, BLOCKS)[None, :]
    a = _away(matrices, block, block < blocks, block_stride, row_stride, column_stride)
    a0 = _column(a, 0)
    a1 = _column(a, 1)
    a2 = _column(a, 2)
    a3 = _column(a, 3)
    a4 = _column(a, 4)
    a5 = _column(a, 5)
    a6 = _column(a, 6)
    a7 = _column(a, 7)
    column = tile * (BLOCKS * 8) + tl.arange(0, BLOCKS * 8)[None, :]
    width = blocks * 8
    first = part.to(tl.int64) * rows_a_part
    last = tl.minimum(first + rows_a_part, rows)
    zero = tl.zeros((ROWS, BLOCKS), dtype=tl.float32)
    none = (zero, zero, zero, zero, zero, zero, zero, zero)
    s0, s1, s2, s3, s4, s5, s6, s7 = none, none, none, none, none, none, none, none
    # the next rows are on their way while these are computed
    row = first + tl.arange(0, ROWS)[:, None]
    at = row * width + column
    mask = (row < last) & (column < width)
    next_g = tl.load(upstream + at, mask=mask, other=0.0)
    next_h = tl.load(hidden + at, mask=mask, other=0.0)
    for _ in range(0, rows_a_part, ROWS):
        g = _split8(next_g, ROWS, BLOCKS)
        h = _split8(next_h, ROWS, BLOCKS)
        following = row + ROWS
        next_mask = (following < last) & (column < width)
        next_at = following * width + column
        next_g = tl.load(upstream + next_at, mask=next_mask, other=0.0)
        next_h = tl.load(hidden + next_at, mask=next_mask, other=0.0)
        if TURN:
            y = (
                _dot8(g[0], a0, g),
                _dot8(g[1], a1, g),
                _dot8(g[2], a2, g),
                _dot8(g[3], a3, g),
                _dot8(g[4], a4, g),
                _dot8(g[5], a5, g),
                _dot8(g[6], a6, g),
                _dot8(g[7], a7, g),
            )
            joined = _join8(y, ROWS, BLOCKS)
            tl.store(downstream + at, joined.to(downstream.dtype.element_ty), mask=mask)
        row, at, mask = following, next_at, next_mask
        s0 = _add_outer(s0, g[0], h)
        s1 = _add_outer(s1, g[1], h)
        s2 = _add_outer(s2, g[2], h)
        s3 = _add_outer(s3, g[3], h)
        s4 = _add_outer(s4, g[4], h)
        s5 = _add_outer(s5, g[5], h)
        s6 = _add_outer(s6, g[6], h)
        s7 = _add_outer(s7, g[7], h)
    base = parts + part * 64 * blocks
    own = tile * BLOCKS + tl.arange(0, BLOCKS)
    own_mask = own < blocks
    _store_row(base, s0, own, own_mask, blocks, 0)
    _store_row(base, s1, own, own_mask, blocks, 1)
    _store_row(base, s2, own, own_mask, blocks, 2)
    _store_row(base, s3, own, own_mask, blocks, 3)
    _store_row(base, s4, own, own_mask, blocks, 4)
    _store_row(base, s5, own, own_mask, blocks, 5)
    _store_row(base, s6, own, own_mask, blocks, 6)
    _store_row(base, s7, own, own_mask, blocks, 7)


@triton.jit
def _dequantize(
    codes, scales, beside, out, columns, more, COLUMNS: tl.constexpr, MORE: tl.constexpr
):
    pieces = tl.cdiv(columns, COLUMNS)
    row = (tl.program_id(0) // pieces).to(tl.int64)
    piece = tl.program_id(0) % pieces
    column = piece * COLUMNS + tl.arange(0, COLUMNS)
    mask = column < columns
    scale = tl.load(scales + row) * (1.0 / 127.0)
    code = tl.load(codes + row * columns + column, mask=mask, other=0)
    value = code.to(tl.float32) * scale
    at = out + row * (columns + more)
    tl.store(at + column, value.to(out.dtype.element_ty), mask=mask)
    if MORE:
        place = tl.arange(0, MORE)
        there = (place < more) & (piece == 0)
        copied = tl.load(beside + row * more + place, mask=there)
        tl.store(at + columns + place, copied, mask=there)


@triton.jit
def _weights(codes, scales, at, mask, row, SCALED: tl.constexpr):
    """One row of weights, float32."""
    value = tl.load(codes + at, mask=mask, other=0).to(tl.float32)
    if SCALED:
        value *= tl.load(scales + row) * (1.0 / 127.0)
    return value


@triton.jit
def _dequantize_turned(
    codes,
    scales,
    matrices,
    out,
    columns,
    block_stride,
    row_stride,
    column_stride,
    SCALED: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    pieces = tl.cdiv(columns, COLUMNS)
    row = (tl.program_id(0) // pieces).to(tl.int64) * 8
    column = tl.program_id(0) % pieces * COLUMNS + tl.arange(0, COLUMNS)
    mask = column < columns
    block = tl.program_id(0) // pieces + tl.arange(0, 1)
    a = _away(matrices, block, block >= 0, block_stride, row_stride, column_stride)
    at = row * columns + column
    w = (
        _weights(codes, scales, at, mask, row, SCALED),
        _weights(codes, scales, at + columns, mask, row + 1, SCALED),
        _weights(codes, scales, at + 2 * columns, mask, row + 2, SCALED),
        _weights(codes, scales, at + 3 * columns, mask, row + 3, SCALED),
        _weights(codes, scales, at + 4 * columns, mask, row + 4, SCALED),
        _weights(codes, scales, at + 5 * columns, mask, row + 5, SCALED),
        _weights(codes, scales, at + 6 * columns, mask, row + 6, SCALED),
        _weights(codes, scales, at + 7 * columns, mask, row + 7, SCALED),
    )
    kind = out.dtype.element_ty
    tl.store(out + at, _dot8(w[0], a[0], w).to(kind), mask=mask)
    tl.store(out + at + columns, _dot8(w[1], a[1], w).to(kind), mask=mask)
    tl.store(out + at + 2 * columns, _dot8(w[2], a[2], w).to(kind), mask=mask)
    tl.store(out + at + 3 * columns, _dot8(w[3], a[3], w).to(kind), mask=mask)
    tl.store(out + at + 4 * columns, _dot8(w[4], a[4], w).to(kind), mask=mask)
    tl.store(out + at + 5 * columns, _dot8(w[5], a[5], w).to(kind), mask=mask)
    tl.store(out + at + 6 * columns, _dot8(w[6], a[6], w).to(kind), mask=mask)
    tl.store(out + at + 7 * columns, _dot8(w[7], a[7], w).to(kind), mask=mask)


@triton.jit
def _turn_sums(
    parts,
    matrices,
    out,
    count,
    blocks,
    block_stride,
    row_stride,
    column_stride,
    PARTS: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    pieces = tl.cdiv(blocks, BLOCKS)
    row = tl.program_id(0) // pieces * 8
    block = tl.program_id(0) % pieces * BLOCKS + tl.arange(0, BLOCKS)
    mask = block < blocks
    base = parts + row * blocks + block
    s0 = tl.zeros((BLOCKS,), dtype=tl.float32)
    s1 = s0
    s2 = s0
    s3 = s0
    s4 = s0
    s5 = s0
    s6 = s0
    s7 = s0
    # unrolled, so that all loads are on their way together; as many for any number of tokens, so
    # that one kernel does for all
    for part in tl.static_range(PARTS):
        at = base + part * 64 * blocks
        there = mask & (part < count)
        s0 += tl.load(at + 0 * blocks, mask=there, other=0.0)
        s1 += tl.load(at + 1 * blocks, mask=there, other=0.0)
        s2 += tl.load(at + 2 * blocks, mask=there, other=0.0)
        s3 += tl.load(at + 3 * blocks, mask=there, other=0.0)
        s4 += tl.load(at + 4 * blocks, mask=there, other=0.0)
        s5 += tl.load(at + 5 * blocks, mask=there, other=0.0)
        s6 += tl.load(at + 6 * blocks, mask=there, other=0.0)
        s7 += tl.load(at + 7 * blocks, mask=there, other=0.0)
    for j in tl.static_range(8):
        at = matrices + block * block_stride + j * column_stride
        total = s0 * tl.load(at + 0 * row_stride, mask=mask, other=0.0)
        total += s1 * tl.load(at + 1 * row_stride, mask=mask, other=0.0)
        total += s2 * tl.load(at + 2 * row_stride, mask=mask, other=0.0)
        total += s3 * tl.load(at + 3 * row_stride, mask=mask, other=0.0)
        total += s4 * tl.load(at + 4 * row_stride, mask=mask, other=0.0)
        total += s5 * tl.load(at + 5 * row_stride, mask=mask, other=0.0)
        total += s6 * tl.load(at + 6 * row_stride, mask=mask, other=0.0)
        total += s7 * tl.load(at + 7 * row_stride, mask=mask, other=0.0)
        tl.store(out + (row + j) * blocks + block, total, mask=mask)


def _strides(matrices: Tensor) -> tuple[int, int, int]:
    block, row, column = matrices.stride()
    return block, row, column


def _blocks_last(matrices: Tensor) -> Tensor:
    """The same matrices with neighbouring blocks side by side, as threads read them."""
    if matrices.stride(0) == 1:
        return matrices
    return matrices.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def forward(hidden: Tensor, matrices: Tensor) -> Tensor:
    """y_b = R_b h_b. See `reference.forward`; `matrices` float32, on a CUDA device."""
    return _turn(hidden, _blocks_last(matrices))


def _turn(hidden: Tensor, matrices: Tensor) -> Tensor:
    hidden = hidden.contiguous()
    out = torch.empty_like(hidden)
    blocks = matrices.shape[0]
    rows = hidden.numel() // (blocks * BLOCK)
    if rows:
        grid = (triton.cdiv(blocks, _BLOCKS) * triton.cdiv(rows, _FORWARD_ROWS_A_PROGRAM),)
        with torch.cuda.device_of(hidden):
            _forward[grid](
                hidden,
                matrices,
                out,
                rows,
                blocks,
                *_strides(matrices),
                ROWS_A_PROGRAM=_FORWARD_ROWS_A_PROGRAM,
                ROWS=_FORWARD_ROWS,
                BLOCKS=_BLOCKS,
                num_warps=_WARPS,
            )
    return out


def turn_back(upstream: Tensor, matrices: Tensor) -> Tensor:
    """The gradient of `hidden` alone: R_bᵀ g_b."""
    return _turn(upstream, _blocks_last(matrices).mT)


def backward(hidden: Tensor, matrices: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `hidden` and of `matrices`. See `reference.backward`.

    The rows are cut into parts whose number depends on the shape alone; each part is summed by one
    program in a fixed order, and the parts by one reduction, so equal inputs give equal bits.
    """
    hidden, upstream, matrices = hidden.contiguous(), upstream.contiguous(), _blocks_last(matrices)
    downstream = torch.empty_like(hidden)
    parts = _parts(hidden, matrices, upstream, downstream)
    return downstream, parts.sum(dim=0).permute(2, 0, 1)


def rotation_gradient(upstream: Tensor, turned: Tensor, matrices: Tensor) -> Tensor:
    """(Σ g_b y_bᵀ) R_b. See `reference.rotation_gradient`; summed as in `backward`."""
    blocks = matrices.shape[0]
    unread = turned.new_empty((BLOCK, BLOCK, blocks), dtype=torch.float32).permute(2, 0, 1)
    parts = _parts(turned.contiguous(), unread, upstream.contiguous(), None)
    out = torch.empty_like(parts[0])
    grid = (triton.cdiv(blocks, _BLOCKS) * BLOCK,)
    with torch.cuda.device_of(parts):
        _turn_sums[grid](
            parts,
            matrices,
            out,
            len(parts),
            blocks,
            *_strides(matrices),
            PARTS=_BACKWARD_PARTS,
            BLOCKS=_BLOCKS,
            num_warps=_BLOCKS // 32,
        )
    return out.permute(2, 0, 1)


def _parts(hidden: Tensor, matrices: Tensor, upstream: Tensor, downstream: Tensor | None) -> Tensor:
    """Σ g_b h_bᵀ of parts of the rows, (parts, 8, 8, n), at least one part.

    R_bᵀ g_b is written to `downstream` where that is given.
    """
    blocks = matrices.shape[0]
    rows = hidden.numel() // (blocks * BLOCK)
    if not rows:
        return hidden.new_zeros((1, BLOCK, BLOCK, blocks), dtype=torch.float32)
    rows_a_part = triton.cdiv(triton.cdiv(rows, _BACKWARD_PARTS), _BACKWARD_ROWS) * _BACKWARD_ROWS
    count = triton.cdiv(rows, rows_a_part)
    parts = hidden.new_empty((count, BLOCK, BLOCK, blocks), dtype=torch.float32)
    with torch.cuda.device_of(hidden):
        _backward[(triton.cdiv(blocks, _BLOCKS) * count,)](
            hidden,
            matrices,
            upstream,
            upstream if downstream is None else downstream,
            parts,
            rows,
            blocks,
            rows_a_part,
            *_strides(matrices),
            TURN=downstream is not None,
            ROWS=_BACKWARD_ROWS,
            BLOCKS=_BLOCKS,
            maxnreg=_BACKWARD_REGISTERS,
            num_warps=_WARPS,
        )
    return parts


def dequantize(
    codes: Tensor, scales: Tensor, dtype: torch.dtype, beside: Tensor | None = None
) -> Tensor:
    """Int8 codes · scales / 127 by rows, rounded once. See `reference.dequantize`."""
    rows, columns = codes.shape
    more = 0 if beside is None else beside.shape[1]
    out = torch.empty((rows, columns + more), dtype=dtype, device=codes.device)
    grid = (rows * triton.cdiv(columns, _DEQUANTIZED_COLUMNS),)
    with torch.cuda.device_of(codes):
        _dequantize[grid](
            codes,
            scales,
            scales if beside is None else beside.contiguous(),
            out,
            columns,
            more,
            COLUMNS=_DEQUANTIZED_COLUMNS,
            MORE=triton.next_power_of_2(more) if more else 0,
            num_warps=_WARPS,
        )
    return out


def dequantize_turned(
    codes: Tensor, scales: Tensor | None, matrices: Tensor, dtype: torch.dtype
) -> Tensor:
    """blockdiag(R) W, rounded once. See `reference.dequantize_turned`."""
    rows, columns = codes.shape
    out = torch.empty((rows, columns), dtype=dtype, device=codes.device)
    at_once = min(_TURNED_COLUMNS, max(32, triton.next_power_of_2(columns)))
    grid = (rows // BLOCK * triton.cdiv(columns, at_once),)
    with torch.cuda.device_of(codes):
        _dequantize_turned[grid](
            codes,
            codes if scales is None else scales,
            matrices,
            out,
            columns,
            *_strides(matrices),
            SCALED=scales is not None,
            COLUMNS=at_once,
            num_warps=_TURNED_WARPS if at_once == _TURNED_COLUMNS else 1,
        )
    return out

"""Triton kernels for Phi-3's joined products: SwiGLU and the position embedding, uncut.

Phi-3 computes gate and up, and queries, keys and values, as one product each. Cutting them apart
costs a copy of each piece forward and a sum of padded pieces backward; these kernels read and write
the joined tensors instead. A turned head is read as its two halves, so that neighbouring numbers
come together. Arithmetic in float32, rounded once. `_turn_back` is long, because Triton takes
strides one by one.
"""

# triton has no annotations
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, no-any-return"
# ruff: noqa: N803
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_COLUMNS = 1024
_HEADS = 16
_WARPS = 4


@triton.jit
def _swiglu(joined, out, out_stride, width, COLUMNS: tl.constexpr):
    pieces = tl.cdiv(width, COLUMNS)
    row = (tl.program_id(0) // pieces).to(tl.int64)
    column = tl.program_id(0) % pieces * COLUMNS + tl.arange(0, COLUMNS)
    mask = column < width
    at = joined + row * 2 * width + column
    gate = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(at + width, mask=mask, other=0.0).to(tl.float32)
    value = gate * tl.sigmoid(gate) * up
    tl.store(out + row * out_stride + column, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _swiglu_back(joined, upstream, out, width, COLUMNS: tl.constexpr):
    pieces = tl.cdiv(width, COLUMNS)
    row = (tl.program_id(0) // pieces).to(tl.int64)
    column = tl.program_id(0) % pieces * COLUMNS + tl.arange(0, COLUMNS)
    mask = column < width
    at = row * 2 * width + column
    gate = tl.load(joined + at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(joined + at + width, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(upstream + row * width + column, mask=mask, other=0.0).to(tl.float32)
    share = tl.sigmoid(gate)
    of_gate = g * up * share * (1.0 + gate * (1.0 - share))
    kind = out.dtype.element_ty
    tl.store(out + at, of_gate.to(kind), mask=mask)
    tl.store(out + at + width, (g * gate * share).to(kind), mask=mask)


@triton.jit
def _angles(table, at, place, mask, HALF: tl.constexpr):
    """A row of cosines or sines, both halves of it."""
    first = tl.load(table + at + place, mask=mask, other=0.0).to(tl.float32)
    return first, tl.load(table + at + HALF + place, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _turn(
    joined,
    cosines,
    sines,
    angle_rows,
    width,
    turned_heads,
    SIZE: tl.constexpr,
    HALF: tl.constexpr,
    PADDED: tl.constexpr,
    HEADS: tl.constexpr,
):
    tiles = tl.cdiv(turned_heads, HEADS)
    token = (tl.program_id(0) // tiles).to(tl.int64)
    head = tl.program_id(0) % tiles * HEADS + tl.arange(0, HEADS)[:, None]
    place = tl.arange(0, PADDED)[None, :]
    mask = (head < turned_heads) & (place < HALF)
    first_at = joined + token * width + head * SIZE + place
    first = tl.load(first_at, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(first_at + HALF, mask=mask, other=0.0).to(tl.float32)
    angle = token % angle_rows * (2 * HALF)
    c0, c1 = _angles(cosines, angle, place, place < HALF, HALF)
    s0, s1 = _angles(sines, angle, place, place < HALF, HALF)
    kind = joined.dtype.element_ty
    tl.store(first_at, (first * c0 - second * s0).to(kind), mask=mask)
    tl.store(first_at + HALF, (second * c1 + first * s1).to(kind), mask=mask)


@triton.jit
def _turn_back(
    of_q,
    of_k,
    of_v,
    cosines,
    sines,
    out,
    tokens,
    angle_rows,
    queries,
    keys,
    q_batch,
    q_head,
    q_token,
    k_batch,
    k_head,
    k_token,
    v_batch,
    v_head,
    v_token,
    SIZE: tl.constexpr,
    HALF: tl.constexpr,
    PADDED: tl.constexpr,
    REST: tl.constexpr,
    HEADS: tl.constexpr,
):
    of_queries, of_keys = tl.cdiv(queries, HEADS), tl.cdiv(keys, HEADS)
    tiles = of_queries + 2 * of_keys
    number = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    batch, token = number // tokens, number % tokens
    # which of the three this program is for, as numbers: pointers and strides are chosen by them
    is_q = (tile < of_queries).to(tl.int64)
    is_v = (tile >= of_queries + of_keys).to(tl.int64)
    is_k = 1 - is_q - is_v
    source = tl.where(is_q == 1, of_q, tl.where(is_v == 1, of_v, of_k))
    head = tile - is_k * of_queries - is_v * (of_queries + of_keys)
    head = head * HEADS + tl.arange(0, HEADS)[:, None]
    source += batch * (is_q * q_batch + is_k * k_batch + is_v * v_batch)
    source += token * (is_q * q_token + is_k * k_token + is_v * v_token)
    base = source + head * (is_q * q_head + is_k * k_head + is_v * v_head)
    before = is_k * queries + is_v * (queries + keys)
    at = out + (number * (queries + 2 * keys) + before + head) * SIZE
    there = head < is_q * queries + (1 - is_q) * keys
    place = tl.arange(0, PADDED)[None, :]
    mask = there & (place < HALF)
    first = tl.load(base + place, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(base + HALF + place, mask=mask, other=0.0).to(tl.float32)
    angle = number % angle_rows * (2 * HALF)
    turns = (place < HALF) & (is_v == 0)
    c0, c1 = _angles(cosines, angle, place, turns, HALF)
    s0, s1 = _angles(sines, angle, place, turns, HALF)
    straight = is_v.to(tl.float32)  # values are not turned: cosine 1
    kind = out.dtype.element_ty
    turned = first * (c0 + straight) + second * s1
    tl.store(at + place, turned.to(kind), mask=mask)
    turned = second * (c1 + straight) - first * s0
    tl.store(at + HALF + place, turned.to(kind), mask=mask)
    if REST:
        further = 2 * HALF + tl.arange(0, REST)[None, :]
        mask = there & (further < SIZE)
        tl.store(at + further, tl.load(base + further, mask=mask), mask=mask)


def swiglu(joined: Tensor, out: Tensor | None = None) -> Tensor:
    """silu(gate) · up. See `reference.swiglu`."""
    rows, width = joined.shape[0], joined.shape[1] // 2
    if out is None:
        out = torch.empty((rows, width), dtype=joined.dtype, device=joined.device)
    if rows:
        with torch.cuda.device_of(joined):
            _swiglu[(rows * triton.cdiv(width, _COLUMNS),)](
                joined, out, out.stride(0), width, COLUMNS=_COLUMNS, num_warps=_WARPS
            )
    return out


def swiglu_back(joined: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of `joined`. See `reference.swiglu_back`."""
    rows, width = upstream.shape
    out = torch.empty_like(joined)
    if rows:
        with torch.cuda.device_of(joined):
            _swiglu_back[(rows * triton.cdiv(width, _COLUMNS),)](
                joined, upstream, out, width, COLUMNS=_COLUMNS, num_warps=_WARPS
            )
    return out


def turn_heads(joined: Tensor, cosines: Tensor, sines: Tensor, heads: tuple[int, int]) -> Tensor:
    """Queries and keys turned, in place. See `reference.turn_heads`."""
    batch, tokens, width = joined.shape
    queries, keys = heads
    half = cosines.shape[-1] // 2
    if batch * tokens:
        with torch.cuda.device_of(joined):
            _turn[(batch * tokens * triton.cdiv(queries + keys, _HEADS),)](
                joined,
                cosines,
                sines,
                cosines.shape[0] * tokens,
                width,
                queries + keys,
                SIZE=width // (queries + 2 * keys),
                HALF=half,
                PADDED=triton.next_power_of_2(half),
                HEADS=_HEADS,
                num_warps=_WARPS,
            )
    return joined


def turn_heads_back(
    of_q: Tensor, of_k: Tensor, of_v: Tensor, cosines: Tensor, sines: Tensor
) -> Tensor:
    """The gradient of `joined`. See `reference.turn_heads_back`."""
    batch, queries, tokens, size = of_q.shape
    keys = of_k.shape[1]
    parts = [one if one.stride(-1) == 1 else one.contiguous() for one in (of_q, of_k, of_v)]
    width, half = (queries + 2 * keys) * size, cosines.shape[-1] // 2
    out = torch.empty((batch, tokens, width), dtype=of_q.dtype, device=of_q.device)
    tiles = triton.cdiv(queries, _HEADS) + 2 * triton.cdiv(keys, _HEADS)
    if batch * tokens:
        with torch.cuda.device_of(out):
            _turn_back[(batch * tokens * tiles,)](
                *parts,
                cosines,
                sines,
                out,
                tokens,
                cosines.shape[0] * tokens,
                queries,
                keys,
                *(stride for part in parts for stride in part.stride()[:3]),
                SIZE=size,
                HALF=half,
                PADDED=triton.next_power_of_2(half),
                REST=triton.next_power_of_2(size - 2 * half) if size > 2 * half else 0,
                HEADS=_HEADS,
                num_warps=_WARPS,
            )
    return out

"""Triton kernels for Phi-3's joined products: SwiGLU and the position embedding, uncut.

Phi-3 computes gate and up, and queries, keys and values, as one product each. Cutting them apart
costs a copy of each piece forward and a sum of padded pieces backward; these kernels read and write
the joined tensors instead. Arithmetic in float32, rounded once.
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
def _swiglu(joined, out, width, COLUMNS: tl.constexpr):
    pieces = tl.cdiv(width, COLUMNS)
    row = (tl.program_id(0) // pieces).to(tl.int64)
    column = tl.program_id(0) % pieces * COLUMNS + tl.arange(0, COLUMNS)
    mask = column < width
    at = joined + row * 2 * width + column
    gate = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(at + width, mask=mask, other=0.0).to(tl.float32)
    value = gate * tl.sigmoid(gate) * up
    tl.store(out + row * width + column, value.to(out.dtype.element_ty), mask=mask)


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
def _turn(
    joined,
    cosines,
    sines,
    out,
    angle_rows,
    heads,
    turned_heads,
    SIZE: tl.constexpr,
    TURNED: tl.constexpr,
    PADDED: tl.constexpr,
    HEADS: tl.constexpr,
):
    tiles = tl.cdiv(heads, HEADS)
    token = (tl.program_id(0) // tiles).to(tl.int64)
    head = tl.program_id(0) % tiles * HEADS + tl.arange(0, HEADS)[:, None]
    place = tl.arange(0, PADDED)[None, :]
    inside = (head < heads) & (place < SIZE)
    turns = inside & (head < turned_heads) & (place < TURNED)
    half = TURNED // 2
    partner = tl.where(place < half, place + half, place - half)
    row = joined + token * heads * SIZE + head * SIZE
    x = tl.load(row + place, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(row + partner, mask=turns, other=0.0).to(tl.float32)
    angle = token % angle_rows * TURNED
    c = tl.load(cosines + angle + place, mask=place < TURNED, other=1.0).to(tl.float32)
    s = tl.load(sines + angle + place, mask=place < TURNED, other=0.0).to(tl.float32)
    value = tl.where(turns, x * c + tl.where(place < half, -other, other) * s, x)
    at = out + token * heads * SIZE + head * SIZE + place
    tl.store(at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _one_of_three(q, k, v, at_q, at_k, at_v, is_q, is_k, is_v):
    """What lies at one place of three tensors that are laid side by side, float32."""
    x = tl.load(q + at_q, mask=is_q, other=0.0).to(tl.float32)
    x += tl.load(k + at_k, mask=is_k, other=0.0).to(tl.float32)
    return x + tl.load(v + at_v, mask=is_v, other=0.0).to(tl.float32)


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
    TURNED: tl.constexpr,
    PADDED: tl.constexpr,
    HEADS: tl.constexpr,
):
    heads = queries + 2 * keys
    tiles = tl.cdiv(heads, HEADS)
    number = (tl.program_id(0) // tiles).to(tl.int64)
    batch = number // tokens
    token = number % tokens
    head = tl.program_id(0) % tiles * HEADS + tl.arange(0, HEADS)[:, None]
    place = tl.arange(0, PADDED)[None, :]
    inside = (head < heads) & (place < SIZE)
    is_q = inside & (head < queries)
    is_k = inside & (head >= queries) & (head < queries + keys)
    is_v = inside & (head >= queries + keys)
    at_q = batch * q_batch + head * q_head + token * q_token
    at_k = batch * k_batch + (head - queries) * k_head + token * k_token
    at_v = batch * v_batch + (head - queries - keys) * v_head + token * v_token
    half = TURNED // 2
    partner = tl.where(place < half, place + half, place - half)
    g = _one_of_three(of_q, of_k, of_v, at_q + place, at_k + place, at_v + place, is_q, is_k, is_v)
    turns = place < TURNED
    other = _one_of_three(
        of_q,
        of_k,
        of_v,
        at_q + partner,
        at_k + partner,
        at_v + partner,
        is_q & turns,
        is_k & turns,
        is_v & (place < 0),
    )
    angle = number % angle_rows * TURNED
    c = tl.load(cosines + angle + place, mask=turns, other=1.0).to(tl.float32)
    s = tl.load(sines + angle + partner, mask=turns, other=0.0).to(tl.float32)
    turned = g * c + tl.where(place < half, other, -other) * s
    value = tl.where(turns & (head < queries + keys), turned, g)
    at = out + number * heads * SIZE + head * SIZE + place
    tl.store(at, value.to(out.dtype.element_ty), mask=inside)


def swiglu(joined: Tensor) -> Tensor:
    """silu(gate) · up. See `reference.swiglu`."""
    rows, width = joined.shape[0], joined.shape[1] // 2
    out = torch.empty((rows, width), dtype=joined.dtype, device=joined.device)
    if rows:
        with torch.cuda.device_of(joined):
            _swiglu[(rows * triton.cdiv(width, _COLUMNS),)](
                joined, out, width, COLUMNS=_COLUMNS, num_warps=_WARPS
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
    """Queries and keys turned, values as they are. See `reference.turn_heads`."""
    batch, tokens, width = joined.shape
    queries, keys = heads
    count = queries + 2 * keys
    out = torch.empty_like(joined)
    if batch * tokens:
        with torch.cuda.device_of(joined):
            _turn[(batch * tokens * triton.cdiv(count, _HEADS),)](
                joined,
                cosines,
                sines,
                out,
                cosines.shape[0] * tokens,
                count,
                queries + keys,
                SIZE=width // count,
                TURNED=cosines.shape[-1],
                PADDED=triton.next_power_of_2(width // count),
                HEADS=_HEADS,
                num_warps=_WARPS,
            )
    return out


def turn_heads_back(
    of_q: Tensor, of_k: Tensor, of_v: Tensor, cosines: Tensor, sines: Tensor
) -> Tensor:
    """The gradient of `joined`. See `reference.turn_heads_back`."""
    batch, queries, tokens, size = of_q.shape
    keys = of_k.shape[1]
    parts = [one if one.stride(-1) == 1 else one.contiguous() for one in (of_q, of_k, of_v)]
    count = queries + 2 * keys
    out = torch.empty((batch, tokens, count * size), dtype=of_q.dtype, device=of_q.device)
    if batch * tokens:
        with torch.cuda.device_of(out):
            _turn_back[(batch * tokens * triton.cdiv(count, _HEADS),)](
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
                TURNED=cosines.shape[-1],
                PADDED=triton.next_power_of_2(size),
                HEADS=_HEADS,
                num_warps=_WARPS,
            )
    return out

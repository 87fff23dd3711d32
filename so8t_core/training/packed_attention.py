"""Attention of packed rows without a mask: flash attention's kernels for many lengths.

A mask that keeps samples apart takes attention off its quickest kernels and makes it compute what
it then throws away. The kernels for many lengths are told where samples end instead. `ends` has a
row for each row of the batch, so that a batch may be cut along its rows; the host never reads it.
"""

# torch annotates this part of itself only in part
# mypy: disable-error-code="no-any-return, no-untyped-call"
from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

ENDS = "sample_ends"
"""The name under which `ends` goes through the model."""


def ends_of(lengths: list[list[int]], width: int) -> Tensor:
    """Where the sequences of each row end, those that fill it up included.

    `lengths`: of the samples in each row; `width`: of a row. Returns int32 (rows, most sequences in
    a row), each row ascending to `width` and filled up with it.
    """
    rows = []
    for row in lengths:
        ends = torch.tensor(row, dtype=torch.int64).cumsum(0).tolist()
        rows.append(ends if ends and ends[-1] == width else [*ends, width])
    longest = max(map(len, rows))
    filled = [row + [width] * (longest - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.int32)


def bounds_of(ends: Tensor, width: int) -> Tensor:
    """Bounds of all sequences in the rows laid end to end: int32 (rows · most + 1,), from 0.

    Equal neighbours bound a sequence of no token, which costs nothing.
    """
    starts = torch.arange(len(ends), dtype=torch.int32, device=ends.device) * width
    inner = (ends + starts[:, None]).flatten()
    return torch.cat((inner.new_zeros(1), inner))


def packed_attention(q: Tensor, k: Tensor, v: Tensor, ends: Tensor, scaling: float) -> Tensor:
    """Causal attention within each sequence of each row.

    `q`: (rows, heads, width, size); `k`, `v`: the same with their own number of heads, of which q's
    is a multiple; `ends`: see `ends_of`. Returns (rows, width, heads, size). On a GPU in 16 bits.
    """
    rows, heads, width, size = q.shape
    if k.shape[1] != heads:
        k, v = (one.repeat_interleave(heads // k.shape[1], dim=1) for one in (k, v))
    bounds = bounds_of(ends, width)
    flat = [one.transpose(1, 2).flatten(0, 1) for one in (q, k, v)]  # (rows · width, heads, size)
    attend = _by_kernel if q.device.type == "cuda" else _one_by_one
    return attend(flat, bounds, width, scaling).view(rows, width, heads, size)


def _by_kernel(flat: list[Tensor], bounds: Tensor, longest: int, scaling: float) -> Tensor:
    attend: Any = varlen_attn  # its parameters differ by torch's version
    named = inspect.signature(attend).parameters
    causal: dict[str, Any] = {"is_causal": True}  # torch 2.10
    if "window_size" in named:
        causal = {"window_size": (-1, 0), "scale": scaling}
    elif abs(scaling * flat[0].shape[-1] ** 0.5 - 1.0) > 1e-6:
        raise ValueError(f"this torch scales attention by its own factor, not by {scaling}")
    return attend(*flat, bounds, bounds, longest, longest, **causal)


def _one_by_one(flat: list[Tensor], bounds: Tensor, longest: int, scaling: float) -> Tensor:
    """The same in plain operations, for tests on a CPU."""
    del longest
    inner = bounds[1:-1].tolist()
    sequences = zip(*(torch.tensor_split(one, inner) for one in flat), strict=True)
    found = []
    for parts in sequences:
        if len(parts[0]):
            q, k, v = (one.transpose(0, 1) for one in parts)
            out = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
            found.append(out.transpose(0, 1))
    return torch.cat(found)

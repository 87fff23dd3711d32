"""The operations in plain PyTorch: what the kernels are tested against, and the CPU's path."""

from __future__ import annotations

from dataclasses import dataclass

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


def dequantize(
    codes: Tensor, scales: Tensor, dtype: torch.dtype, beside: Tensor | None = None
) -> Tensor:
    """Int8 codes · scales / 127 by rows, computed in float32 and rounded once to `dtype`.

    `codes`: (rows, columns) int8; `scales`: (rows,) float32, the largest magnitude of each row;
    `beside`: (rows, more) in `dtype`. Returns (rows, columns), or with `beside` in further columns.
    """
    dense = (codes.to(torch.float32) * (scales * (1.0 / 127.0))[:, None]).to(dtype)
    return dense if beside is None else torch.cat((dense, beside), dim=1)


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


def dequantize_turned(
    codes: Tensor, scales: Tensor | None, matrices: Tensor, dtype: torch.dtype
) -> Tensor:
    """blockdiag(R) W: a weight whose product is turned already, rounded once to `dtype`.

    `codes`: W, (8 n, columns), int8 by rows with `scales` (8 n,) as in `dequantize`, or floating
    with None; `matrices`: (n, 8, 8). Equal to W in `dtype` to the bit where every R is the
    identity.
    """
    wide = codes.to(torch.float32)
    if scales is not None:
        wide = wide * (scales * (1.0 / 127.0))[:, None]
    rows = wide.reshape(matrices.shape[0], BLOCK, -1)
    away = matrices - torch.eye(BLOCK, device=matrices.device, dtype=matrices.dtype)
    return (rows + torch.bmm(away, rows)).reshape(codes.shape).to(dtype)


def rotation_gradient(upstream: Tensor, turned: Tensor, matrices: Tensor) -> Tensor:
    """The sum over tokens of g_b h_bᵀ for each block, by y = R h: h is Rᵀ y, so (Σ g_b y_bᵀ) R_b.

    `upstream`: g, and `turned`: y, (tokens, 8 n); `matrices`: R, (n, 8, 8), orthogonal. Returns
    (n, 8, 8) float32.
    """
    blocks = matrices.shape[0]
    g, y = (one.reshape(-1, blocks, BLOCK).float().transpose(0, 1) for one in (upstream, turned))
    return torch.bmm(torch.bmm(g.mT, y), matrices.float())


FELLOW = 64
"""How far apart in a row the two numbers lie that share one hash of a dropout mask."""
_LEVELS = 2**16


@dataclass(frozen=True)
class Dropout:
    """A dropout mask that is computed, not kept.

    `probability`: of a zero, below 1, taken in steps of 2^-16; `keys`: two random numbers from 0 to
    2^31 - 1.
    """

    probability: float
    keys: tuple[int, int]

    @property
    def threshold(self) -> int:
        """A number is kept where its sixteen bits are not below this."""
        return round(self.probability * _LEVELS)

    @property
    def scale(self) -> float:
        """What kept numbers are multiplied by."""
        return _LEVELS / (_LEVELS - self.threshold)


def pairs_in(width: int) -> int:
    """How many hashes a row of a dropout mask takes."""
    return -(-width // (2 * FELLOW)) * FELLOW


def kept(rows: int, width: int, dropout: Dropout, device: torch.device) -> Tensor:
    """Where dropout keeps a number: (rows, width) bool.

    A row is cut into pieces of 128; the numbers c and c + 64 of a piece are a pair, which shares
    one hash: 32 bits of the pair's place and both keys (C. Wellons' triple32, the second key after
    its first round). The first takes the lower half of the bits, the second the upper, each to
    compare with the threshold. Places repeat after 2^32 pairs.
    """
    low, pairs = 0xFFFFFFFF, pairs_in(width)
    x = torch.arange(rows * pairs, dtype=torch.int64, device=device) & low
    x ^= dropout.keys[0]
    x ^= x >> 17
    x = x * 0xED5AD4BB & low
    x ^= dropout.keys[1]
    x ^= x >> 11
    x = x * 0xAC4C1B51 & low
    x ^= x >> 15
    x = x * 0x31848BAB & low
    x ^= x >> 14
    pieces = x.view(rows, pairs // FELLOW, 1, FELLOW)
    both = torch.cat((pieces & 0xFFFF, pieces >> 16), dim=2).view(rows, 2 * pairs)
    return both[:, :width] >= dropout.threshold


def _dropped(x: Tensor, dropout: Dropout) -> Tensor:
    mask = kept(x.shape[0], x.shape[1], dropout, x.device)
    return torch.where(mask, x.float() * dropout.scale, 0.0)


def down(x: Tensor, a: Tensor, dropout: Dropout, out: Tensor | None = None) -> Tensor:
    """drop(x) aᵀ. `x`: (tokens, in); `a`: (rank, in). Returns (tokens, rank), dtype of x."""
    return _put((_dropped(x, dropout) @ a.float().mT).to(x.dtype), out)


def up_into(out: Tensor, g: Tensor, a: Tensor, dropout: Dropout) -> Tensor:
    """Adds drop(g a) to `out`, (tokens, in), in place. `g`: (tokens, rank); `a`: (rank, in)."""
    return out.copy_(out.float() + _dropped(g.float() @ a.float(), dropout))


def gradient_of_a(g: Tensor, x: Tensor, dropout: Dropout) -> Tensor:
    """gᵀ drop(x): (rank, in) float32. `g`: (tokens, rank); `x`: (tokens, in)."""
    return g.float().mT @ _dropped(x, dropout)


def swiglu(joined: Tensor, out: Tensor | None = None) -> Tensor:
    """silu(gate) · up. `joined`: (tokens, 2 n), gate before up. Returns (tokens, n)."""
    gate, up = joined.float().chunk(2, dim=-1)
    return _put((torch.nn.functional.silu(gate) * up).to(joined.dtype), out)


def _put(value: Tensor, out: Tensor | None) -> Tensor:
    return value if out is None else out.copy_(value)


def swiglu_back(joined: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of `joined`, (tokens, 2 n). `upstream`: (tokens, n)."""
    gate, up = joined.float().chunk(2, dim=-1)
    g, share = upstream.float(), torch.sigmoid(gate)
    of_gate = g * up * share * (1.0 + gate * (1.0 - share))
    return torch.cat((of_gate, g * gate * share), dim=-1).to(joined.dtype)


def turn_heads(joined: Tensor, cosines: Tensor, sines: Tensor, heads: tuple[int, int]) -> Tensor:
    """Queries and keys turned by their positions, values as they are; in place.

    `joined`: (batch, tokens, (queries + 2 keys) · size), heads of queries, keys, values after one
    another; `cosines`, `sines`: (batch or 1, tokens, turned), the first `turned` numbers of a head
    being turned, each with its fellow half of that on; `heads`: (queries, keys). Returns `joined`.
    """
    queries, keys = heads
    split = joined.float().view(*joined.shape[:-1], queries + 2 * keys, -1)
    turned = cosines.shape[-1]
    first, second = split[..., :turned].chunk(2, dim=-1)
    c, s = cosines.float()[:, :, None], sines.float()[:, :, None]
    rotated = split[..., :turned] * c + torch.cat((-second, first), dim=-1) * s
    whole = torch.cat((rotated, split[..., turned:]), dim=-1)
    whole[..., queries + keys :, :] = split[..., queries + keys :, :]
    return joined.copy_(whole.flatten(-2))


def turn_heads_back(
    of_q: Tensor, of_k: Tensor, of_v: Tensor, cosines: Tensor, sines: Tensor
) -> Tensor:
    """The gradient of `joined` in `turn_heads`: (batch, tokens, (queries + 2 keys) · size).

    `of_q`, `of_k`, `of_v`: gradients of the turned heads, each (batch, heads, tokens, size).
    """
    split = torch.cat((of_q, of_k, of_v), dim=1).transpose(1, 2).float()
    turned, straight = cosines.shape[-1], of_q.shape[1] + of_k.shape[1]
    g = split[..., :turned]
    c, s = cosines.float()[:, :, None], sines.float()[:, :, None]
    first, second = (g * s).chunk(2, dim=-1)
    whole = torch.cat((g * c + torch.cat((second, -first), dim=-1), split[..., turned:]), dim=-1)
    whole[..., straight:, :] = split[..., straight:, :]
    return whole.flatten(-2).to(of_q.dtype)


def norm(
    x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of `x` and `added`, its root-mean-square norm, and what it was multiplied by.

    `x`, `added`: (tokens, width) of one dtype; `weight`: (width,). Returns the sum (`x` itself
    where nothing is added) and its norm in that dtype, and the factors (tokens,) in float32. The
    sum is rounded before it is normed.
    """
    total = x if added is None else (x.float() + added.float()).to(x.dtype)
    wide = total.float()
    scales = torch.rsqrt(wide.square().mean(dim=-1) + epsilon)
    return total, _put((wide * scales[:, None] * weight.float()).to(x.dtype), out), scales


def norm_back(
    upstream: Tensor, of_total: Tensor | None, total: Tensor, weight: Tensor, scales: Tensor
) -> Tensor:
    """The gradient of the sum in `norm`: of its norm, `upstream`, and of itself, `of_total`."""
    g = upstream.float() * weight.float()
    normed = total.float() * scales[:, None]
    value = scales[:, None] * (g - normed * (g * normed).mean(dim=-1, keepdim=True))
    return (value if of_total is None else value + of_total.float()).to(total.dtype)

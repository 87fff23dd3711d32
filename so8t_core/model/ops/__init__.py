"""Operations with kernels: rotations, turning by them, int8 rows; what runs is chosen here.

On a GPU the Triton kernels, elsewhere the reference. Where a GPU has to do without the kernels,
that is counted with its reason: see `fallbacks`.
"""

# torch annotates its autograd functions only in part
# mypy: disable-error-code="no-untyped-call, no-any-return"
from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from so8t_core.model import so8
from so8t_core.model.ops import reference
from so8t_core.model.ops.reference import Dropout

try:
    from so8t_core.model.ops import exponential, lora, norms, phi3
    from so8t_core.model.ops import triton as kernels
except ImportError:  # Triton comes with torch for CUDA only; where it is missed, that is counted
    _KERNELS: ModuleType | None = None
    _EXPONENTIAL: ModuleType | None = None
    _LORA: ModuleType | None = None
    _PHI3: ModuleType | None = None
    _NORMS: ModuleType | None = None
else:
    _KERNELS, _EXPONENTIAL = kernels, exponential
    _LORA, _NORMS, _PHI3 = lora, norms, phi3

_FALLBACKS: Counter[str] = Counter()


def fallbacks() -> dict[str, int]:
    """How often this process did without the kernels on a GPU, by reason."""
    return dict(_FALLBACKS)


def _choose(
    tensor: Tensor, matrices: Tensor | None = None, module: ModuleType | None = _KERNELS
) -> ModuleType:
    """The module of kernels or the reference."""
    if tensor.device.type != "cuda":
        return reference
    if _KERNELS is None or module is None:
        _FALLBACKS["Triton is not installed"] += 1
        return reference
    if matrices is not None and (
        tensor.dtype not in _KERNELS.DTYPES or matrices.dtype != torch.float32
    ):
        _FALLBACKS[f"no rotation kernel for {tensor.dtype} by {matrices.dtype}"] += 1
        return reference
    return module


class BlockRotation(Function):
    """Block rotation whose forward and backward are those of a module: reference or kernels."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, matrices: Tensor, implementation: ModuleType) -> Tensor:
        """y_b = R_b h_b."""
        ctx.save_for_backward(hidden, matrices)
        ctx.implementation = implementation
        return implementation.forward(hidden, matrices)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """Gradients of what needs one."""
        hidden, matrices = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return ctx.implementation.turn_back(upstream, matrices), None, None
        return *ctx.implementation.backward(hidden, matrices, upstream), None


def rotate(hidden: Tensor, matrices: Tensor) -> Tensor:
    """Turn each block of the last dimension: block b becomes R_b h_b.

    `hidden`: (..., 8 n) of any floating dtype; `matrices`: (n, 8, 8), float32 or float64. Returns
    the shape and dtype of `hidden`, equal to it to the bit where every R is the identity (but for
    what `so8.rotate` says of -0.0 and infinities). Sums in float32 at least. By kernels
    differentiable once, with bits that do not change from run to run; otherwise as `so8.rotate`.
    Raises ValueError where the last dimension is not 8 n.
    """
    so8.check_width(hidden.shape[-1], matrices)
    implementation = _choose(hidden, matrices)
    if implementation is reference:
        return so8.rotate(hidden, matrices)
    return _rotate_by(implementation, hidden, matrices)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _rotate_by(implementation: ModuleType, hidden: Tensor, matrices: Tensor) -> Tensor:
    """A compiler need not look into what is a kernel already."""
    return BlockRotation.apply(hidden, matrices, implementation)


class Exponential(Function):
    """R = exp(A) whose forward and backward are those of a module: reference or kernels."""

    @staticmethod
    def forward(ctx: Any, thetas: Tensor, implementation: ModuleType) -> Tensor:
        """`thetas`: (gates, n, 28). Returns (gates, n, 8, 8)."""
        built = implementation.build(thetas)
        ctx.save_for_backward(thetas, built)
        ctx.implementation = implementation
        return built

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """The gradient of the parameters."""
        return ctx.implementation.send_back(*ctx.saved_tensors, upstream), None


def rotation(theta: Tensor, parametrisation: str) -> Tensor:
    """The matrices R of a gate's parameters, or of many gates' at once.

    `theta`: (n, 28) or (gates, n, 28); for `free` (..., n, 8, 8). Returns (..., n, 8, 8). By
    kernels for `exp` on a GPU, there differentiable once and with the same bits every time;
    otherwise as `so8.rotation`.
    """
    if theta.device.type != "cuda" or parametrisation == "free" or not theta.numel():
        return so8.rotation(theta, parametrisation)
    if _EXPONENTIAL is None or parametrisation != "exp" or theta.dtype != torch.float32:
        _FALLBACKS[
            "Triton is not installed"
            if _EXPONENTIAL is None
            else f"no kernel for rotations by {parametrisation} in {theta.dtype}"
        ] += 1
        return so8.rotation(theta, parametrisation)
    gates = theta.reshape(-1, *theta.shape[-2:])
    built = _build_by(_EXPONENTIAL, gates)
    return built.reshape(*theta.shape[:-1], so8.BLOCK, so8.BLOCK)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _build_by(implementation: ModuleType, thetas: Tensor) -> Tensor:
    return Exponential.apply(thetas, implementation)


def dequantize(
    codes: Tensor, scales: Tensor, dtype: torch.dtype, beside: Tensor | None = None
) -> Tensor:
    """int8 rows as numbers: codes · scales / 127, computed in float32 and rounded once to `dtype`.

    `codes`: (rows, columns) int8, contiguous; `scales`: (rows,) float32; `beside`: (rows, more) in
    `dtype`, to stand in further columns.
    """
    return _choose(codes).dequantize(codes, scales, dtype, beside)


def dequantize_turned(
    codes: Tensor, scales: Tensor | None, matrices: Tensor, dtype: torch.dtype
) -> Tensor:
    """blockdiag(R) W: a frozen weight whose product comes out rotated. No gradient.

    `codes`: (8 n, columns), int8 with `scales` (8 n,) or floating with None; `matrices`:
    (n, 8, 8) float32. Returns (8 n, columns) in `dtype`, rounded once; W to the bit where every R
    is the identity.
    """
    return _choose(codes).dequantize_turned(codes, scales, matrices, dtype)


def rotation_gradient(upstream: Tensor, turned: Tensor, matrices: Tensor) -> Tensor:
    """The gradient of R by its output: for each block (Σ g_b y_bᵀ) R_b, summed over tokens.

    `upstream`: g, and `turned`: y = R h, (tokens, 8 n) of one floating dtype; `matrices`: R,
    (n, 8, 8) float32, orthogonal. Returns (n, 8, 8) float32, the same bits every time.
    """
    return _choose(upstream).rotation_gradient(upstream, turned, matrices)


def lora_down(x: Tensor, a: Tensor, dropout: Dropout, out: Tensor | None = None) -> Tensor:
    """drop(x) aᵀ, written to `out` where that is given.

    `x`: (tokens, in), its rows as far apart as they like; `a`: (rank, in). Returns (tokens, rank),
    dtype of x; `out` may have rows apart too.
    """
    return _choose(x, module=_LORA).down(x, a, dropout, out)


def lora_up_into(out: Tensor, g: Tensor, a: Tensor, dropout: Dropout) -> Tensor:
    """Adds drop(g a) to `out`, (tokens, in), in place. `g`: (tokens, rank); `a`: (rank, in)."""
    return _choose(out, module=_LORA).up_into(out, g, a, dropout)


def lora_gradient_of_a(g: Tensor, x: Tensor, dropout: Dropout) -> Tensor:
    """gᵀ drop(x): (rank, in) float32, the same bits every time.

    `g`: (tokens, rank); `x`: (tokens, in), its rows as far apart as they like.
    """
    return _choose(x, module=_LORA).gradient_of_a(g, x, dropout)


def swiglu(joined: Tensor, out: Tensor | None = None) -> Tensor:
    """silu(gate) · up, written to `out` where that is given: its rows may lie apart.

    `joined`: (tokens, 2 n), contiguous, gate before up. Returns (tokens, n).
    """
    return _choose(joined, module=_PHI3).swiglu(joined, out)


def swiglu_back(joined: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of `joined`. `upstream`: (tokens, n), contiguous."""
    return _choose(joined, module=_PHI3).swiglu_back(joined, upstream)


def turn_heads(joined: Tensor, cosines: Tensor, sines: Tensor, heads: tuple[int, int]) -> Tensor:
    """Queries and keys turned in place; see `reference.turn_heads`. All contiguous."""
    return _choose(joined, module=_PHI3).turn_heads(joined, cosines, sines, heads)


def turn_heads_back(
    of_q: Tensor, of_k: Tensor, of_v: Tensor, cosines: Tensor, sines: Tensor
) -> Tensor:
    """The gradient of `joined` in `turn_heads`; see `reference.turn_heads_back`."""
    return _choose(of_q, module=_PHI3).turn_heads_back(of_q, of_k, of_v, cosines, sines)


def norm(
    x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A sum, its root-mean-square norm, and the factors; see `reference.norm`.

    All contiguous, but that the norm is written to `out`, (tokens, width), where that is given: its
    rows may lie apart.
    """
    return _choose(x, module=_NORMS).norm(x, added, weight, epsilon, out)


def norm_back(
    upstream: Tensor, of_total: Tensor | None, total: Tensor, weight: Tensor, scales: Tensor
) -> Tensor:
    """The gradient of the sum in `norm`; see `reference.norm_back`."""
    return _choose(total, module=_NORMS).norm_back(upstream, of_total, total, weight, scales)

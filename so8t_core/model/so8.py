"""Rotations of eight dimensions: the only definition of SO(8) in this project.

A block of eight hidden dimensions is rotated by an 8 x 8 matrix R. Three parametrisations:

- `exp`: R = exp(A), A skew-symmetric with 28 free numbers. Zero gives the identity exactly.
- `cayley`: R = (I - A/2)^-1 (I + A/2), same A; equal to `exp` up to the third order in A.
- `free`: R is the parameter itself, an unconstrained 8 x 8 matrix.

This file is shipped as it is inside every gated checkpoint, so it imports torch alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 8
"""Width of a block."""
FREEDOMS = BLOCK * (BLOCK - 1) // 2
"""Free numbers of a skew-symmetric 8 x 8 matrix: 28."""
PARAMETRISATIONS = ("exp", "cayley", "free")

ROTATION_ERROR = 1e-5
"""‖RᵀR - I‖_F up to which a float32 matrix counts as a rotation."""

SQUARINGS = 9
"""The exponential halves its argument so often, and squares the result so often."""
DEGREE = 12
"""Degree of the Taylor polynomial between."""


def parameter_shape(parametrisation: str) -> tuple[int, ...]:
    """Shape of one block's parameter: (28,), or (8, 8) for `free`."""
    return (BLOCK, BLOCK) if parametrisation == "free" else (FREEDOMS,)


def skew(theta: Tensor) -> Tensor:
    """Skew-symmetric matrices from their strict upper triangles, row by row.

    `theta`: (..., 28). Returns (..., 8, 8) of the same dtype, with A[i, j] = -A[j, i].
    """
    rows, columns = torch.triu_indices(BLOCK, BLOCK, offset=1, device=theta.device).unbind()
    upper = theta.new_zeros((*theta.shape[:-1], BLOCK, BLOCK))
    upper[..., rows, columns] = theta
    return upper - upper.mT


def exp_minus_identity(skewed: Tensor) -> Tensor:
    """exp(A) - I for skew-symmetric A, by scaling and squaring a fixed number of times.

    `skewed`: (..., 8, 8) float64. The Taylor polynomial of degree 12 of A / 2^9, without its
    constant term, is squared nine times as B -> 2B + B², so that small rotations lose no digits
    and A = 0 gives exactly 0 (Higham, Functions of Matrices, 2008, chapter 10; the polynomial by
    Paterson and Stockmeyer, 1973). For a spectral norm of A up to 100 the absolute error is below
    1e-12: truncation 512 (100/512)^13 / 13! < 1e-16, the rest rounding, about 1e-16 ‖A‖. Beyond
    it the polynomial falls short: ‖RᵀR - I‖ is about 1e-7 at 500, 1e-3 at 1,000, and NaN from a few
    thousand on. No step depends on the values, so nothing waits for the device.
    """
    scaled = skewed * 2.0**-SQUARINGS
    second = scaled @ scaled
    third = second @ scaled
    fourth = second @ second
    identity = torch.eye(BLOCK, dtype=skewed.dtype, device=skewed.device)
    powers = (identity, scaled, second, third)

    def group(first: int) -> Tensor:
        terms = [powers[k] / math.factorial(first + k) for k in range(4) if first + k > 0]
        return sum(terms[1:], start=terms[0])

    result = group(0) + fourth @ (group(4) + fourth @ (group(8) + fourth / math.factorial(DEGREE)))
    for _ in range(SQUARINGS):
        result = 2.0 * result + result @ result
    return result


def cayley_minus_identity(skewed: Tensor) -> Tensor:
    """(I - A/2)^-1 (I + A/2) - I = (I - A/2)^-1 A for skew-symmetric A.

    `skewed`: (..., 8, 8) float64. I - A/2 has the identity as its symmetric part, and so has every
    Schur complement of it at least; the inverse by halves therefore needs no pivots. Its error
    grows with the norm of A: ‖RᵀR - I‖ is about 1e-12 at 100, 1e-8 at 100,000.
    """
    identity = torch.eye(BLOCK, dtype=skewed.dtype, device=skewed.device)
    return _inverse(identity - skewed / 2.0) @ skewed


def _inverse(matrix: Tensor) -> Tensor:
    size = matrix.shape[-1]
    if size == 1:
        return matrix.reciprocal()
    half = size // 2
    a, b = matrix[..., :half, :half], matrix[..., :half, half:]
    c, d = matrix[..., half:, :half], matrix[..., half:, half:]
    a_inverse = _inverse(a)
    left, right = c @ a_inverse, a_inverse @ b
    complement = _inverse(d - c @ right)
    top_right = -right @ complement
    top = torch.cat([a_inverse - top_right @ left, top_right], dim=-1)
    bottom = torch.cat([-complement @ left, complement], dim=-1)
    return torch.cat([top, bottom], dim=-2)


def rotation(theta: Tensor, parametrisation: str) -> Tensor:
    """The matrices R of a gate's parameters.

    `theta`: (..., 28), or (..., 8, 8) for `free`. Returns (..., 8, 8), computed in float64 and cast
    to float32 (to float64 where theta is float64). Differentiable twice. Theta = 0 (for `free`: the
    identity) gives exactly the identity. Raises ValueError for an unknown parametrisation.
    """
    dtype = torch.promote_types(theta.dtype, torch.float32)
    if parametrisation == "free":
        return theta.to(dtype)
    # autocast would round the products to 16 bits
    with torch.autocast(theta.device.type, enabled=False):
        skewed = skew(theta.to(torch.float64))
        if parametrisation == "exp":
            away = exp_minus_identity(skewed)
        elif parametrisation == "cayley":
            away = cayley_minus_identity(skewed)
        else:
            raise ValueError(
                f"unknown parametrisation {parametrisation!r}, expected one of {PARAMETRISATIONS}"
            )
        identity = torch.eye(BLOCK, dtype=torch.float64, device=theta.device)
        return (identity + away).to(dtype)


def nearest_rotation(matrices: Tensor) -> Tensor:
    """The rotation P that is nearest to each matrix M: least ‖M - P‖_F with PᵀP = I, det P = 1.

    `matrices`: (..., 8, 8). Returns their shape and dtype; computed in float64. With M = U S Vᵀ it
    is P = U diag(1, ..., 1, det(U Vᵀ)) Vᵀ (Kabsch, Acta Crystallographica A32, 1976): the
    orthogonal factor of M's polar decomposition, its weakest direction turned round where that one
    mirrors.
    """
    left, _, right = torch.linalg.svd(matrices.to(torch.float64))
    signs = torch.ones_like(left[..., 0])
    signs[..., -1] = torch.linalg.det(left @ right).sign()
    nearest: Tensor = ((left * signs[..., None, :]) @ right).to(matrices.dtype)
    return nearest


def whole(chosen: Tensor, blocks: Tensor, count: int) -> Tensor:
    """The matrices of all blocks of a layer, where only some turn: the others are the identity.

    `chosen`: (..., m, 8, 8); `blocks`: (m,) int64, their places; `count`: n blocks in all. Returns
    (..., n, 8, 8) of the same dtype, differentiable in `chosen`.
    """
    identity = torch.eye(BLOCK, dtype=chosen.dtype, device=chosen.device)
    every = identity.expand(*chosen.shape[:-3], count, BLOCK, BLOCK)
    # a copy of its own: compiled, index_copy would write all blocks into the one expanded matrix
    return every.contiguous().index_copy(-3, blocks, chosen)


def check_width(width: int, matrices: Tensor) -> None:
    """Raise ValueError unless the matrices' blocks, side by side, are that wide."""
    if width != BLOCK * matrices.shape[0]:
        raise ValueError(f"{matrices.shape[0]} blocks of {BLOCK} do not turn a width of {width}")


def rotate(hidden: Tensor, matrices: Tensor) -> Tensor:
    """Turn each block of the last dimension: block b becomes R_b h_b.

    `hidden`: (..., 8 n) of any floating dtype; `matrices`: (n, 8, 8), float32 or float64. Returns
    the shape and dtype of `hidden`. Computed as h + (R - I) h in the dtype of the matrices: at the
    identity the second term is exactly zero whatever the precision of matrix products is, so the
    result equals `hidden` to the bit. Two values are not kept: -0.0 becomes 0.0, and an infinity or
    NaN makes its whole block NaN. Raises ValueError where the last dimension is not 8 n.
    """
    check_width(hidden.shape[-1], matrices)
    blocks = matrices.shape[0]
    with torch.autocast(hidden.device.type, enabled=False):
        away = matrices - torch.eye(BLOCK, dtype=matrices.dtype, device=matrices.device)
        split = hidden.reshape(-1, blocks, BLOCK).to(matrices.dtype)  # (tokens, n, 8)
        turned = torch.bmm(split.transpose(0, 1), away.mT).transpose(0, 1)  # (tokens, n, 8)
        return (split + turned).to(hidden.dtype).reshape(hidden.shape)


def rotate_rows(weight: Tensor, matrices: Tensor) -> Tensor:
    """blockdiag(R) W: the weight (8 n, columns) or bias (8 n,) of a layer that ends in the gate.

    Computed and returned in float32 at least; with y = x Wᵀ this is what makes x W'ᵀ = rotate(y).
    Raises ValueError where the first dimension is not 8 n.
    """
    check_width(weight.shape[0], matrices)
    dtype = torch.promote_types(torch.promote_types(weight.dtype, matrices.dtype), torch.float32)
    columns = weight.to(dtype).reshape(matrices.shape[0], BLOCK, -1)
    return torch.bmm(matrices.to(dtype), columns).reshape(weight.shape)


def angles(matrices: Tensor) -> Tensor:
    """The four rotation angles of each R, in radians from 0 to pi, largest first.

    `matrices`: (..., 8, 8). Returns (..., 4) float64: R is orthogonally similar to four plane
    rotations, whose eigenvalues are the pairs exp(±i phi). Uses the general eigenvalue solver; for
    reports, not for training.
    """
    phases: Tensor = torch.linalg.eigvals(matrices.to(torch.float64)).angle().abs()
    return phases.sort(dim=-1, descending=True).values[..., ::2]


def distance(matrices: Tensor) -> Tensor:
    """Geodesic distance of each R from the identity: ‖log R‖_F = sqrt(2 Σ phi²), in radians."""
    return angles(matrices).square().sum(dim=-1).mul(2.0).sqrt()


def orthogonality_error(matrices: Tensor) -> Tensor:
    """‖RᵀR - I‖_F of each R, in the dtype of `matrices` (at least float32). Shape (...)."""
    wide = matrices.to(torch.promote_types(matrices.dtype, torch.float32))
    identity = torch.eye(BLOCK, dtype=wide.dtype, device=wide.device)
    error: Tensor = torch.linalg.matrix_norm(wide.mT @ wide - identity)
    return error

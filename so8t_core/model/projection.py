"""Free matrices made rotations: what the fold takes for them where the settings ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def make_nearest(matrices: dict[str, torch.Tensor]) -> float:
    """Put the nearest rotations in the place of all (n, 8, 8) matrices.

    Returns the largest distance ‖M - R‖_F that one of them was moved by.
    """
    import torch

    from so8t_core.model.so8 import nearest_rotation

    moved = 0.0
    for name, given in matrices.items():
        matrices[name] = nearest_rotation(given)
        moved = max(moved, float(torch.linalg.matrix_norm(given - matrices[name]).max()))
    return moved


def make_rotations(model: nn.Module) -> None:
    """Put the nearest rotation in the place of every `free` matrix of a loaded model."""
    import torch

    from so8t_core.model.gate_checks import gates_of
    from so8t_core.model.so8 import nearest_rotation

    with torch.no_grad():
        for gate in gates_of(model):
            if gate.parametrisation == "free":
                gate.theta.copy_(nearest_rotation(gate.theta))

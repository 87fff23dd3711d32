"""What the gates add to the loss, and what is reported about them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.model.ops import rotation
from so8t_core.model.so8 import BLOCK, angles, orthogonality_error

_LAYER = re.compile(r"\blayers\.(\d+)\.")
_WRAPPING = re.compile(r"^base_model\.model\.|\.modules_to_save\.[^.]+")


@dataclass(frozen=True)
class Gate:
    """A gate that is trained; `name` as in the checkpoint without adapter."""

    name: str
    module: SO8TRotationGate


def trained_gates(model: nn.Module) -> tuple[Gate, ...]:
    """The gates of a model whose parameters are trained, in layer order."""
    return tuple(
        Gate(_WRAPPING.sub("", name), module)
        for name, module in model.named_modules()
        if isinstance(module, SO8TRotationGate) and module.theta.requires_grad
    )


def active_gates(model: nn.Module) -> tuple[SO8TRotationGate, ...]:
    """The gates that a forward pass uses: the trained ones, or all where none is trained."""
    trained = tuple(gate.module for gate in trained_gates(model))
    return trained or tuple(m for m in model.modules() if isinstance(m, SO8TRotationGate))


@dataclass(frozen=True)
class GateTerms:
    """Penalties on all gates together, which are of one parametrisation.

    `orthogonality_weight` times the mean of ‖RᵀR − I‖² over blocks counts for the `free`
    parametrisation only: for the others it is zero by construction and has no gradient.
    `size_weight` times the mean of ‖A‖² (‖R − I‖² for `free`) keeps rotations small.
    """

    gates: Sequence[Gate]
    orthogonality_weight: float
    size_weight: float

    @property
    def free(self) -> bool:
        """Whether the gates are unconstrained matrices."""
        return any(gate.module.parametrisation == "free" for gate in self.gates)

    def penalty(self) -> Tensor | None:
        """The weighted sum as a scalar with gradient; None where no term has any effect.

        It depends on the gates alone: add it once an optimiser step, undivided.
        """
        terms: list[Tensor] = []
        if self.gates and self.free and self.orthogonality_weight:
            terms.append(self.orthogonality_weight * _mean_orthogonality(self._rotations()))
        if self.gates and self.size_weight:
            terms.append(self.size_weight * self._mean_size())
        return torch.stack(terms).sum() if terms else None

    def measure(self) -> dict[str, float]:
        """Unweighted terms and the mean rotation, as plain numbers; empty without gates.

        `rotation_angle_mean`, in radians: the angle of the rotation that turns all four planes
        alike and lies as far from the identity in Frobenius norm, averaged over blocks.
        """
        return self.measure_with_layers()[0]

    @torch.no_grad()
    def measure_with_layers(self) -> tuple[dict[str, float], dict[str, float]]:
        """What `measure` gives, and the mean angle of each gate as `rotation_angle.LAYER`.

        `LAYER` is the layer's number in the model, or the gate's own where its name has none. One
        building of the rotations and one reading from the device serve both.
        """
        if not self.gates:
            return {}, {}
        rotations = self._rotations()
        chords = torch.linalg.matrix_norm(_away(rotations)) / (2.0 * math.sqrt(BLOCK))
        turned = 2.0 * torch.asin(chords.clamp(max=1.0))  # (blocks,)
        blocks = [gate.module.theta.shape[0] for gate in self.gates]
        by_gate = [part.mean() for part in torch.split(turned, blocks)]
        terms = (_mean_orthogonality(rotations), self._mean_size(), turned.mean())
        values = torch.stack([*terms, *by_gate]).tolist()
        kinds = ("orthogonality", "rotation_size", "rotation_angle_mean")
        measured = dict(zip(kinds, values[: len(kinds)], strict=True))
        names = [_layer_of(gate, number) for number, gate in enumerate(self.gates)]
        return measured, dict(zip(names, values[len(kinds) :], strict=True))

    @torch.no_grad()
    def summary(self) -> dict[str, float]:
        """Exact angles and errors for the report; solves eigenvalues on the CPU."""
        rotations = self._rotations().cpu()
        turned = angles(rotations)
        return {
            "rotation_angle_mean_rad": turned.mean().item(),
            "rotation_angle_max_rad": turned.max().item(),
            "orthogonality_error_max": orthogonality_error(rotations).max().item(),
        }

    def _rotations(self) -> Tensor:
        """(blocks, 8, 8), of all gates in one building: on a GPU as quick as that of one."""
        return rotation(self._thetas(), self.gates[0].module.parametrisation)

    def _mean_size(self) -> Tensor:
        if self.free:
            return _away(self._rotations()).square().sum((-2, -1)).mean()
        return 2.0 * self._thetas().square().sum(-1).mean()  # each number stands twice in A

    def _thetas(self) -> Tensor:
        return torch.cat([gate.module.theta for gate in self.gates])  # (blocks, 28)


def _layer_of(gate: Gate, number: int) -> str:
    found = _LAYER.search(gate.name)
    return f"rotation_angle.{found[1] if found else number}"


def _away(rotations: Tensor) -> Tensor:
    return rotations - torch.eye(BLOCK, dtype=rotations.dtype, device=rotations.device)


def _mean_orthogonality(rotations: Tensor) -> Tensor:
    return _away(rotations.mT @ rotations).square().sum((-2, -1)).mean()

"""Checks of the gates of a loaded model: rotations, norms, and two gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from so8t_core.model.compare import logits_of
from so8t_core.model.trial import Check, Trial

if TYPE_CHECKING:
    import torch
    from torch import nn

    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3ForCausalLM, SO8TRotationGate

_GATE_GRADIENT = 1e-6
_LARGEST_STEP = 0.05


def gates_of(model: nn.Module) -> list[SO8TRotationGate]:
    """The model's gates, in the order of its layers."""
    from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate

    return [module for module in model.modules() if isinstance(module, SO8TRotationGate)]


def randomise(model: SO8TPhi3ForCausalLM, *, spread: float, seed: int) -> None:
    """Turn every gate at random: theta normal of that spread; `free` gets the same rotations."""
    import torch

    from so8t_core.model.so8 import FREEDOMS, rotation

    generator = torch.Generator().manual_seed(seed)
    for gate in gates_of(model):
        theta = torch.randn(gate.theta.shape[0], FREEDOMS, generator=generator) * spread
        value = rotation(theta, "exp") if gate.parametrisation == "free" else theta
        with torch.no_grad():
            gate.theta.copy_(value)


def rotation_checks(trial: Trial, model: SO8TPhi3ForCausalLM) -> Iterator[Check]:
    """On the rotations themselves and on what really flows through the gates."""
    import torch

    from so8t_core.model.so8 import ROTATION_ERROR, orthogonality_error

    trial.point()
    gates = gates_of(model)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hooks = [
        gate.register_forward_hook(lambda _, given, result: seen.append((given[0], result)))
        for gate in gates
    ]
    logits_of(model, trial.ids[:1])
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        matrices = torch.cat([gate.rotation() for gate in gates])
        stretch = max(_stretch(given, result) for given, result in seen)
    yield Check(
        "orthogonality",
        float(orthogonality_error(matrices).max()),
        ROTATION_ERROR,
        "largest ‖RᵀR - I‖ of the rotations as the model uses them",
    )
    yield Check(
        "norm",
        stretch,
        trial.tolerance.norm,
        "largest relative change of a vector's norm by a gate",
    )
    middle = len(gates) // 2
    yield _gate_gradient_check(gates[middle], seen[middle][0])


def _stretch(given: torch.Tensor, result: torch.Tensor) -> float:
    before, after = given.double().norm(dim=-1), result.double().norm(dim=-1)
    return float((after / before.clamp_min(1e-30) - 1.0).abs().max())


def _gate_gradient_check(gate: SO8TRotationGate, hidden: torch.Tensor) -> Check:
    """Autograd against central differences, in float64, on hidden states that the model made."""
    import torch

    from so8t_core.model.so8 import rotate, rotation

    generator = torch.Generator().manual_seed(0)
    states = hidden.detach().double().cpu().clone()
    states /= states.abs().max()
    theta = gate.theta.detach().double().cpu().requires_grad_()
    weights = torch.randn(states.shape, generator=generator, dtype=torch.float64)
    direction = torch.randn(theta.shape, generator=generator, dtype=torch.float64)

    def loss(at: torch.Tensor) -> torch.Tensor:
        matrices = gate.spread(rotation(at, gate.parametrisation))
        return (rotate(states, matrices) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(theta), theta)
    step = 1e-5
    with torch.no_grad():
        ahead, behind = loss(theta + step * direction), loss(theta - step * direction)
    expected = float((ahead - behind) / (2 * step))
    error = abs(float((gradient * direction).sum()) - expected)
    scale = float(gradient.norm() * direction.norm())
    return Check(
        "gate_gradient",
        error / scale,
        _GATE_GRADIENT,
        "a gate's gradient against finite differences in float64, relative",
    )


def model_gradient_check(trial: Trial, model: SO8TPhi3ForCausalLM) -> Check:
    """The loss along its own gradient in all gates at once, through the whole model."""
    import torch

    trial.point()
    thetas = [gate.theta.requires_grad_() for gate in gates_of(model)]
    gradients = torch.autograd.grad(_loss(trial, model), thetas)
    length = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    if not length > 0.0:
        return Check("model_gradient", math.inf, trial.tolerance.gradient, "no gradient at all")
    step = min(trial.tolerance.loss_step / length, _LARGEST_STEP * length / largest)
    losses = []
    for sign in (1.0, -2.0):
        trial.point()
        with torch.no_grad():
            for theta, gradient in zip(thetas, gradients, strict=True):
                theta.add_(gradient, alpha=sign * step / length)
            losses.append(float(_loss(trial, model)))
    with torch.no_grad():
        for theta, gradient in zip(thetas, gradients, strict=True):
            theta.add_(gradient, alpha=step / length)
    slope = (losses[0] - losses[1]) / (2 * step)
    return Check(
        "model_gradient",
        abs(slope - length) / length,
        trial.tolerance.gradient,
        "the loss's slope along its gradient in the gates, by differences, relative",
    )


def _loss(trial: Trial, model: SO8TPhi3ForCausalLM) -> torch.Tensor:
    """Next-token loss in nats, mean over the prompts."""
    import torch

    losses = []
    for ids in trial.ids:
        batch = torch.tensor([ids], device=trial.device)
        losses.append(model(batch, labels=batch, use_cache=False).loss.float())
    return torch.stack(losses).mean()

"""A gated checkpoint as it is on disk: its gates are found whole, and their rotations built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from so8t_core.contract.errors import ModelError
from so8t_core.model.accounting import GATED_TYPE, account, parse_config
from so8t_core.model.base import check_hashes
from so8t_core.model.numbers import check_numbers
from so8t_core.model.weights import CONFIG_FILE, DTYPE_CODES, ModelFolder, all_finite

if TYPE_CHECKING:
    import torch

GATE_SUFFIX = ".rotation_gate.theta"
"""How the name of a gate's parameters ends; before it stands that of its attention."""
ORTHOGONALITY_LIMIT = 1e-4
"""Largest ‖RᵀR - I‖_F of a rotation to fold: float32 gives some 1e-6, parameters that are too
large for their parametrisation give more."""


def check_gated(model: ModelFolder) -> None:
    """Raise `ModelError` unless it is a sound Phi-3 with every gate that its configuration names.

    Hashes on record are compared, too.
    """
    from so8t_core.model.so8 import PARAMETRISATIONS

    if model.config.get("model_type") != GATED_TYPE:
        raise ModelError(
            f"This is no gated model: its model_type is {model.config.get('model_type')!r}.",
            where=str(model.path / CONFIG_FILE),
            hint="Give a checkpoint made by `so8t integrate` or by a training.",
        )
    parametrisation = model.config.get("gate_parametrisation")
    if parametrisation not in PARAMETRISATIONS:
        raise ModelError(
            "The configuration does not say how the gates are parametrised.",
            where=f"{model.path / CONFIG_FILE}: gate_parametrisation",
            hint="Integrate the base again.",
        )
    check_numbers(model)
    _check_gates(model, parametrisation)
    stock = {name: entry for name, entry in model.tensors.items() if not name.endswith(GATE_SUFFIX)}
    account(replace(model, tensors=stock), parse_config(model))
    check_hashes(model)


def _check_gates(model: ModelFolder, parametrisation: str) -> None:
    """Every gate that the configuration names is there, of the right shape, and no other is."""
    from so8t_core.model.so8 import BLOCK, parameter_shape

    expected = _listed(model, "gate_layers")
    if expected is None:
        expected = list(range(model.config["num_hidden_layers"]))
    blocks = _listed(model, "gate_blocks")
    wanted = {f"model.layers.{layer}.self_attn{GATE_SUFFIX}" for layer in expected}
    found = {name for name in model.tensors if name.endswith(GATE_SUFFIX)}
    for name in sorted(wanted ^ found):
        raise ModelError(
            f"The gate {name} is {'missing' if name in wanted else 'not in the configuration'}.",
            where=str(model.path),
            hint="Integrate the base again.",
        )
    parse_config(model)
    count = model.config["hidden_size"] // BLOCK if blocks is None else len(blocks)
    shape = (count, *parameter_shape(parametrisation))
    for name in sorted(found):
        entry = model.tensors[name]
        if entry.shape != shape or entry.dtype not in DTYPE_CODES.values():
            raise ModelError(
                f"The gate {name} is {entry.dtype} {entry.shape} in place of {shape}.",
                where=str(model.path / entry.file),
                hint="Integrate the base again.",
            )


def _listed(model: ModelFolder, key: str) -> list[int] | None:
    """The numbers of layers or blocks that a gated configuration lists; None for all."""
    value = model.config.get(key)
    if value is None:
        return None
    if not (isinstance(value, list) and value and all(type(one) is int for one in value)):
        raise ModelError(
            f"The configuration's {key} are no list of numbers.",
            where=f"{model.path / CONFIG_FILE}: {key}",
            hint="Integrate the base again.",
        )
    return value


def rotations_of(
    model: ModelFolder, trained: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """R of every gate, (blocks, 8, 8) float32, by the prefix of its attention.

    `trained`: parameters by name that take the place of the checkpoint's. Raises `ModelError` for
    parameters that are not finite, or too large for their rotation to be computed.
    """
    import torch

    from so8t_core.model.so8 import BLOCK, rotation, whole

    parametrisation = str(model.config["gate_parametrisation"])
    blocks = parse_config(model).gate_blocks
    rotations = {}
    for name in sorted(model.tensors):
        if not name.endswith(GATE_SUFFIX):
            continue
        theta = trained[name] if name in trained else model.read_tensor(name)
        if not all_finite(theta):
            raise ModelError(
                f"The gate {name} holds NaN or infinity.",
                where=str(model.path / model.tensors[name].file),
                hint="Integrate the base again; if it was trained, the training diverged.",
            )
        chosen = rotation(theta.float(), parametrisation)
        if parametrisation != "free":
            _check_rotation(chosen, name, model)
        rotations[name.removesuffix(GATE_SUFFIX)] = (
            chosen
            if blocks is None
            else whole(chosen, torch.tensor(blocks), model.config["hidden_size"] // BLOCK)
        )
    return rotations


def _check_rotation(matrices: torch.Tensor, name: str, model: ModelFolder) -> None:
    """Raise `ModelError` where theta is too large for its rotation to be computed."""
    from so8t_core.model.so8 import orthogonality_error

    error = float(orthogonality_error(matrices.double()).max())
    if not error <= ORTHOGONALITY_LIMIT:
        raise ModelError(
            f"The gate {name} gives no rotation: ‖RᵀR - I‖ is {error:.2g}, "
            f"{ORTHOGONALITY_LIMIT:.0e} is allowed. Its parameters are too large.",
            where=str(model.path),
            hint="The training diverged; lower train.gate_learning_rate and train again.",
        )

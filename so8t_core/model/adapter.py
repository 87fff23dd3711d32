"""A PEFT adapter folder as it is on disk: low-rank pairs and trained gates, every tensor known."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.model.base import digest_of_weights
from so8t_core.model.weights import ModelFolder, all_finite

if TYPE_CHECKING:
    import torch

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
GATE_WEIGHTS = "gates.safetensors"
TRAINING_FACTS = "training.json"

_PREFIX = "base_model.model."
_PAIR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_GATE = re.compile(r"model\.layers\.\d+\.self_attn\.rotation_gate\.theta")
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the base's weights as they were."""


@dataclass(frozen=True)
class LoraPair:
    """One low-rank update: W + scale · B A, with A (r, inputs) and B (outputs, r)."""

    a: torch.Tensor
    b: torch.Tensor
    scale: float

    def delta(self) -> torch.Tensor:
        """The update in float32: (outputs, inputs)."""
        return (self.b.float() @ self.a.float()) * self.scale


@dataclass(frozen=True)
class Adapter:
    """`pairs` by the name of the weight that they update; `gates` by the name of their theta.

    `gates_beside`: the gates are in gates.safetensors alone, not among the adapter's own tensors.
    """

    pairs: dict[str, LoraPair]
    gates: dict[str, torch.Tensor]
    gates_beside: bool = False

    @classmethod
    def read(cls, folder: Path, model: ModelFolder) -> Adapter:
        """Read an adapter trained on the gated checkpoint `model`.

        Gates may lie among the adapter's tensors, in gates.safetensors beside them, or in both if
        they are equal. Raises `InputMissing` where a file is not there, and `ModelError` for an
        adapter that names another base, for a kind of adapter that cannot be merged exactly, and
        for any tensor that has no place.
        """
        config = _read_config(folder)
        _check_base(folder, model)
        tensors = _read_tensors(folder / ADAPTER_WEIGHTS)
        own = {name: tensors.pop(name) for name in sorted(tensors) if _GATE.fullmatch(name)}
        gates = _join_gates(folder, own)
        pairs = _pair_up(folder, config, tensors)
        adapter = cls(pairs, gates, gates_beside=bool(gates) and not own)
        adapter._check_places(folder, model)
        return adapter

    def _check_places(self, folder: Path, model: ModelFolder) -> None:
        shapes = {name: tuple(gate.shape) for name, gate in self.gates.items()}
        for name, pair in self.pairs.items():
            shapes[name] = (pair.b.shape[0], pair.a.shape[1])
        for name, shape in sorted(shapes.items()):
            stored = model.tensors.get(name)
            if stored is None:
                raise ModelError(
                    f"The adapter changes {name}, which the checkpoint does not hold.",
                    where=str(folder),
                    hint="Give the checkpoint that the adapter was trained on; a head that is tied "
                    "to the embeddings cannot be a target.",
                )
            if shape != stored.shape:
                raise ModelError(
                    f"{name} is {shape} in the adapter and {stored.shape} in the checkpoint.",
                    where=str(folder),
                    hint="Give the checkpoint that the adapter was trained on.",
                )


def _check_base(folder: Path, model: ModelFolder) -> None:
    """Compare the weights that a training of ours noted with these; others note none."""
    path = folder / TRAINING_FACTS
    if not path.is_file():
        return
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))["base_weights_digest"]
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(
            "The adapter's record of its training is damaged.",
            where=str(path),
            hint="Resume the training; it writes the adapter again.",
        ) from error
    found = digest_of_weights(model.path)
    if noted != found:
        raise ModelError(
            f"The adapter was trained on another base: its weights have the digest "
            f"{str(noted)[:12]}, those of {model.path.name} {found[:12]}.",
            where=str(folder),
            hint="Give the checkpoint that the adapter was trained on.",
        )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputMissing(
            "This is no adapter folder: it has no adapter_config.json.",
            where=str(folder),
            hint="Give the folder `train/adapter` of a finished training.",
        ) from error
    except ValueError as error:
        raise ModelError(
            "The adapter's configuration cannot be read as JSON.",
            where=str(path),
            hint="Resume the training; it writes the adapter again.",
        ) from error
    for key, allowed in (
        ("peft_type", ("LORA",)),
        ("use_dora", (False, None)),
        ("fan_in_fan_out", (False, None)),
        ("bias", ("none", None)),
        ("init_lora_weights", (*_PLAIN_STARTS, None)),
        ("layer_replication", (None,)),
        ("alora_invocation_tokens", (None,)),
        ("modules_to_save", (None, [], ["rotation_gate"])),
    ):
        if config.get(key) not in allowed:
            raise ModelError(
                f"An adapter with {key} = {config[key]!r} cannot be merged exactly.",
                where=str(path),
                hint="Train plain LoRA, with rotation_gate as the only module to save.",
            )
    return dict(config)


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded: dict[str, torch.Tensor] = load_file(path)
    except FileNotFoundError as error:
        raise InputMissing(
            "The adapter has no weights.",
            where=str(path),
            hint="Resume the training; it writes the adapter again.",
        ) from error
    except SafetensorError as error:
        raise ModelError(
            f"The adapter's weights are damaged or cut short ({error}).",
            where=str(path),
            hint="Resume the training; it writes the adapter again.",
        ) from error
    for name, tensor in loaded.items():
        if not all_finite(tensor):
            raise ModelError(
                f"The adapter's tensor {name} holds NaN or infinity.",
                where=str(path),
                hint="The training diverged; lower its learning rates and train again.",
            )
    return {name.removeprefix(_PREFIX): tensor for name, tensor in loaded.items()}


def _join_gates(folder: Path, own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The adapter's own gates and those stored beside them."""
    gates = dict(own)
    beside = folder / GATE_WEIGHTS
    if not beside.is_file():
        return gates
    for name, gate in _read_tensors(beside).items():
        if not _GATE.fullmatch(name) or (name in gates and not gate.equal(gates[name])):
            raise ModelError(
                f"{GATE_WEIGHTS} and {ADAPTER_WEIGHTS} disagree about {name}.",
                where=str(folder),
                hint="Resume the training; it writes the adapter again.",
            )
        gates[name] = gate
    return gates


def _pair_up(
    folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> dict[str, LoraPair]:
    sides: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _PAIR.fullmatch(name)
        if match is None:
            raise ModelError(
                f"The adapter holds a tensor that cannot be merged: {name}.",
                where=str(folder / ADAPTER_WEIGHTS),
                hint="Train plain LoRA on linear layers, with rotation_gate as the only module to "
                "save.",
            )
        sides.setdefault(match["module"], {})[match["side"]] = tensor
    for module, found in sorted(sides.items()):
        if set(found) != {"A", "B"} or found["A"].shape[0] != found["B"].shape[1]:
            raise ModelError(
                f"The two sides of the adapter's {module} do not fit each other.",
                where=str(folder / ADAPTER_WEIGHTS),
                hint="Resume the training; it writes the adapter again.",
            )
    return {
        f"{module}.weight": LoraPair(
            found["A"], found["B"], _scale(config, module, found["A"].shape[0])
        )
        for module, found in sides.items()
    }


def _scale(config: dict[str, Any], module: str, rank: int) -> float:
    """Alpha / r, or alpha / sqrt(r) with rslora (Kalajdzievski, 2023, arXiv:2312.03732)."""
    alpha = float(config["lora_alpha"])
    patterns = config.get("alpha_pattern") or {}
    if patterns:
        from peft.utils.other import get_pattern_key

        alpha = float(patterns.get(get_pattern_key(list(patterns), module), alpha))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)

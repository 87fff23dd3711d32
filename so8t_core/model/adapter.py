"""A PEFT adapter folder as it is on disk: low-rank pairs and trained gates, every tensor known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.contract.files import sha256_file
from so8t_core.model.base import digest_of_weights
from so8t_core.model.lora_config import LoraConfig, read_lora_config
from so8t_core.model.weights import DTYPE_CODES, ModelFolder, all_finite, dtype_name, read_json

if TYPE_CHECKING:
    import torch

ADAPTER_WEIGHTS = "adapter_model.safetensors"
GATE_WEIGHTS = "gates.safetensors"
TRAINING_FACTS = "training.json"
HASHES = "sha256"
"""In it: the hashes of the files of tensors, by name. Adapters of earlier versions have none."""

_PREFIX = "base_model.model."
_PAIR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_GATE = re.compile(r"model\.layers\.\d+\.self_attn\.rotation_gate\.theta")
_TRAIN_AGAIN = "Resume the training; it writes the adapter again."


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

    `holds_every_gate`: each gate of the checkpoint is among the adapter's own tensors, and not in
    gates.safetensors or the checkpoint alone.
    """

    pairs: dict[str, LoraPair]
    gates: dict[str, torch.Tensor]
    holds_every_gate: bool = False

    @classmethod
    def read(cls, folder: Path, model: ModelFolder) -> Adapter:
        """Read an adapter trained on the gated checkpoint `model`.

        Gates may lie among the adapter's tensors, in gates.safetensors beside them, or in both if
        they are equal. Raises `InputMissing` where a file is not there, and `ModelError` for an
        adapter that names another base, for a kind of adapter that cannot be merged exactly, and
        for any tensor that has no place.
        """
        config = read_lora_config(folder)
        _check_record(folder, model)
        tensors = _read_tensors(folder / ADAPTER_WEIGHTS)
        own = {name: tensors.pop(name) for name in sorted(tensors) if _GATE.fullmatch(name)}
        gates = _join_gates(folder, own)
        pairs = _pair_up(folder, config, tensors)
        every = {name for name in model.tensors if _GATE.fullmatch(name)}
        adapter = cls(pairs, gates, holds_every_gate=every <= own.keys())
        if not pairs and not gates:
            raise ModelError(
                "The adapter holds no tensors.",
                where=str(folder / ADAPTER_WEIGHTS),
                hint=_TRAIN_AGAIN,
            )
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


def _check_record(folder: Path, model: ModelFolder) -> None:
    """Compare base and tensors with what a training of ours noted of them; others note nothing."""
    path = folder / TRAINING_FACTS
    if not path.exists():
        return
    facts = read_json(path, "of the adapter", hint=_TRAIN_AGAIN)
    noted, hashes = facts.get("base_weights_digest"), facts.get(HASHES, {})
    if not isinstance(noted, str) or not isinstance(hashes, dict):
        raise ModelError(
            "The adapter's record of its training is damaged.",
            where=str(path),
            hint=_TRAIN_AGAIN,
        )
    found = digest_of_weights(model.path)
    if noted != found:
        raise ModelError(
            f"The adapter was trained on another base: its weights have the digest "
            f"{noted[:12]}, those of {model.path.name} {found[:12]}.",
            where=str(folder),
            hint="Give the checkpoint that the adapter was trained on.",
        )
    for name, sha256 in sorted(hashes.items()):
        tensors = folder / Path(name).name
        if not tensors.is_file() or sha256_file(tensors) != sha256:
            raise ModelError(
                f"{name} is not what the training wrote.",
                where=str(folder),
                hint=f"{_TRAIN_AGAIN} If it was changed on purpose, remove {TRAINING_FACTS}.",
            )


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded: dict[str, torch.Tensor] = load_file(path)
    except FileNotFoundError as error:
        raise InputMissing(
            "The adapter has no weights.",
            where=str(path),
            hint=_TRAIN_AGAIN,
        ) from error
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The adapter's weights are damaged or cut short ({error}).",
            where=str(path),
            hint=_TRAIN_AGAIN,
        ) from error
    for name, tensor in loaded.items():
        if dtype_name(tensor.dtype) not in DTYPE_CODES:
            raise ModelError(
                f"The adapter's tensor {name} has the dtype {dtype_name(tensor.dtype)}.",
                where=str(path),
                hint="Save the adapter in float32, bfloat16 or float16.",
            )
        if not all_finite(tensor):
            raise ModelError(
                f"The adapter's tensor {name} holds NaN or infinity.",
                where=str(path),
                hint="The training diverged; lower its learning rates and train again.",
            )
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in loaded.items()}
    if len(tensors) < len(loaded):
        raise ModelError(
            f"The adapter holds a tensor twice, with {_PREFIX} before its name and without.",
            where=str(path),
            hint=_TRAIN_AGAIN,
        )
    return tensors


def _join_gates(folder: Path, own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The adapter's own gates and those stored beside them."""
    gates = dict(own)
    beside = folder / GATE_WEIGHTS
    if not beside.exists():
        return gates
    for name, gate in _read_tensors(beside).items():
        if not _GATE.fullmatch(name) or (name in gates and not gate.equal(gates[name])):
            raise ModelError(
                f"{GATE_WEIGHTS} and {ADAPTER_WEIGHTS} disagree about {name}.",
                where=str(folder),
                hint=_TRAIN_AGAIN,
            )
        gates[name] = gate
    return gates


def _pair_up(
    folder: Path, config: LoraConfig, tensors: dict[str, torch.Tensor]
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
        if not _fit(found):
            raise ModelError(
                f"The two sides of the adapter's {module} do not fit each other.",
                where=str(folder / ADAPTER_WEIGHTS),
                hint=_TRAIN_AGAIN,
            )
    return {
        f"{module}.weight": LoraPair(
            found["A"], found["B"], config.scale(module, found["A"].shape[0])
        )
        for module, found in sides.items()
    }


def _fit(sides: dict[str, torch.Tensor]) -> bool:
    """Whether they are A (r, inputs) and B (outputs, r) of one rank of 1 or more."""
    if set(sides) != {"A", "B"} or any(side.ndim != 2 for side in sides.values()):
        return False
    return sides["A"].shape[0] == sides["B"].shape[1] > 0

"""Tensors of a folded checkpoint, read one at a time."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from so8t_core.contract.errors import InputInvalid, InputMissing

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


@dataclass
class CheckpointWeights:
    """A context manager over the safetensors files of a Hugging Face folder.

    `shapes` maps each tensor's name to its shape, in the order of the names. Only what `read`
    returns is held in memory. Raises `InputMissing` or `InputInvalid` on entering.
    """

    folder: Path
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _files: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            for path in _shards(self.folder):
                opened = self._stack.enter_context(safe_open(path, framework="pt"))
                self._files.update((name, opened) for name in opened.keys())  # noqa: SIM118
        except SafetensorError as error:
            self._stack.close()
            raise InputInvalid(
                "A weights file of the checkpoint cannot be read.",
                where=str(self.folder),
                hint="Resume the run; the folded checkpoint is made again if it is removed.",
            ) from error
        self.shapes = {
            name: tuple(self._files[name].get_slice(name).get_shape())
            for name in sorted(self._files)
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor, widened to float32."""
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        values: npt.NDArray[np.float32] = tensor.to(torch.float32).numpy()
        return values


def _shards(folder: Path) -> list[Path]:
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    index = folder / _INDEX
    if not index.is_file():
        raise InputMissing(
            "The checkpoint has no safetensors weights.",
            where=str(folder),
            hint=f"A folder with {_SINGLE}, or {_INDEX} and its shards, is needed.",
        )
    names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return [folder / name for name in sorted(names)]

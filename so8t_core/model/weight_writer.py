"""Writing a model folder: room for it, its shards tensor by tensor, its index."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import ResourceError, UsageError
from so8t_core.model.weights import INDEX_FILE, TensorEntry, dtype_code

if TYPE_CHECKING:
    import torch

_SPARE_BYTES = 64 << 20


def check_target(target: Path, source: Path, mark: str) -> None:
    """Refuse to replace a folder that is not an older result of the same kind.

    `mark`: the file that such a result holds. Raises `UsageError` where `target` is the source,
    lies inside it or around it, or is a file or a filled folder without the mark.
    """
    resolved, origin = target.resolve(), source.resolve()
    if resolved == origin or resolved in origin.parents or origin in resolved.parents:
        raise UsageError(
            "The output folder must be another than the model's, and neither may hold the other.",
            where=str(target),
            hint="Choose another output folder.",
        )
    if target.is_dir() and (not any(target.iterdir()) or (target / mark).is_file()):
        return
    if target.exists() or target.is_symlink():
        raise UsageError(
            f"The output exists and is no older result (it has no {mark}).",
            where=str(target),
            hint="Choose a folder that does not exist yet, or empty this one yourself.",
        )


def check_space(target: Path, needed_bytes: int) -> None:
    """Raise `ResourceError` unless the disk of `target` has that much room and some to spare."""
    existing = next(folder for folder in target.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes + _SPARE_BYTES:
        raise ResourceError(
            f"The model needs {needed_bytes / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free.",
            where=str(existing),
            hint="Free some space, or write to another disk.",
        )


def write_shard(
    path: Path, entries: Iterable[TensorEntry], tensors: Iterable[torch.Tensor]
) -> None:
    """Write a safetensors file tensor by tensor, so that only one is in memory.

    `entries` give the header in order; `tensors` yields their values in the same order, each of
    exactly the shape and dtype that its entry says (ValueError otherwise). The library's own writer
    needs all tensors of a file at once, twice. Format: github.com/huggingface/safetensors.
    """
    listed = list(entries)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in listed:
        end = offset + entry.size_bytes
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)))
        file.write(encoded)
        for entry, tensor in zip(listed, tensors, strict=True):
            if tuple(tensor.shape) != entry.shape or dtype_code(tensor.dtype) != entry.dtype:
                raise ValueError(f"{entry.name}: {tensor.dtype} {tuple(tensor.shape)} != {entry}")
            file.write(_raw_bytes(tensor))


def _raw_bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]  # the stub of Python 3.11 misses it


def write_index(path: Path, tensors: Iterable[TensorEntry]) -> None:
    """Write the index of a folder of several shards."""
    ordered = sorted(tensors, key=lambda entry: entry.name)
    total = sum(entry.size_bytes for entry in ordered)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {entry.name: entry.file for entry in ordered},
    }
    (path / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

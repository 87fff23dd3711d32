"""Writing weights: a shard tensor by tensor, and the index of several."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.model.weights import INDEX_FILE, TensorEntry, dtype_code

if TYPE_CHECKING:
    import torch


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

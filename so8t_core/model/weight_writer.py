"""Writing a model folder: room for it, its shards tensor by tensor, its index."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import ResourceError, UsageError
from so8t_core.contract.files import replacing_folder
from so8t_core.model.weights import INDEX_FILE, TensorEntry, dtype_code

if TYPE_CHECKING:
    import torch

_SPARE_BYTES = 64 << 20


def check_target(target: Path, source: Path, mark: str) -> None:
    """Refuse to replace a folder that is not an older result of the same kind.

    `mark`: the file that such a result holds. Raises `UsageError` where `target` is the source,
    lies inside it or around it, is a file or a filled folder without the mark, or cannot be made.
    """
    check_place(target)
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


def check_place(target: Path) -> None:
    """Raise `UsageError` where no folder can be made at `target`: below a file, or off any disk."""
    try:
        target.resolve().lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, RuntimeError) as error:
        raise _no_place(target, str(error)) from error
    existing = _nearest(target)
    if not existing.is_dir():
        raise _no_place(target, f"{existing} is no folder")
    if shutil.disk_usage(existing).total == 0:
        raise _no_place(target, f"{existing} is not on a disk")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """`replacing_folder`, with what the disk refuses told as an error of the output path.

    Raises `UsageError` where the folder cannot be made, `ResourceError` when the disk fills up.
    """
    with ExitStack() as stack:
        try:
            partial = stack.enter_context(replacing_folder(target))
        except OSError as error:
            raise _no_place(target, error.strerror or str(error)) from error
        try:
            yield partial
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ResourceError(
                "The disk is full; nothing was written.",
                where=str(target),
                hint="Free some space, or write to another disk.",
            ) from error


def _no_place(target: Path, why: str) -> UsageError:
    return UsageError(
        f"The output folder cannot be made: {why}.",
        where=str(target),
        hint="Choose a folder on a disk that you may write to.",
    )


def _nearest(target: Path) -> Path:
    """The target itself or the nearest thing above it that exists."""
    absolute = target.absolute()
    return next(path for path in (absolute, *absolute.parents) if os.path.lexists(path))


def check_space(target: Path, needed_bytes: int) -> None:
    """Raise `ResourceError` unless the disk of `target` has that much room and some to spare."""
    existing = next(folder for folder in target.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes + _SPARE_BYTES:
        raise ResourceError(
            f"Writing the model takes {_size(needed_bytes)} of disk and {_size(_SPARE_BYTES)} to "
            f"spare, {_size(needed_bytes + _SPARE_BYTES)} in all; {_size(free)} are free.",
            where=str(existing),
            hint="Free some space, or write to another disk.",
        )


def _size(count: int) -> str:
    """Bytes in the unit that suits them: kB, MB or GB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1000:.1f} kB"


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

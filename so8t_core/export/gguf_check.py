"""Reads a GGUF file back and compares every tensor with what it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import gguf
import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFReader, ReaderTensor

from so8t_core.contract.errors import ModelError

Float32 = npt.NDArray[np.float32]

_BLOCK = 32
_STEPS = {
    GGMLQuantizationType.Q8_0: (127.0, 0.5),
    GGMLQuantizationType.Q5_0: (16.0, 1.0),
    GGMLQuantizationType.Q4_0: (8.0, 1.0),
}
"""Steps from zero to a block's largest value, and how many of them rounding may be off.

Q8_0 rounds to the nearest. Q5_0 and Q4_0 have one step less above zero than below, so a value at
the other end than the largest one is cut by up to a whole step.
"""
_NARROW = {GGMLQuantizationType.F16: torch.float16, GGMLQuantizationType.BF16: torch.bfloat16}
_RELATIVE_LIMITS = {
    GGMLQuantizationType.F32: 0.0,
    GGMLQuantizationType.F16: 1e-3,
    GGMLQuantizationType.BF16: 8e-3,
    GGMLQuantizationType.Q8_0: 0.02,
    GGMLQuantizationType.Q6_K: 0.05,
    GGMLQuantizationType.Q5_1: 0.1,
    GGMLQuantizationType.Q5_0: 0.1,
    GGMLQuantizationType.Q5_K: 0.1,
    GGMLQuantizationType.Q4_1: 0.2,
    GGMLQuantizationType.Q4_0: 0.2,
    GGMLQuantizationType.Q4_K: 0.2,
    GGMLQuantizationType.IQ4_NL: 0.2,
    GGMLQuantizationType.Q3_K: 0.4,
}
"""Relative error of a tensor that llama.cpp quantised: about twice what each type gives."""


class ExpectedTensor(Protocol):
    """What the check must know of a tensor."""

    @property
    def name(self) -> str:
        """Its name in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, rows first."""

    @property
    def type(self) -> GGMLQuantizationType:
        """How it is encoded."""


T = TypeVar("T", bound=ExpectedTensor)


@dataclass(frozen=True)
class GgufCheck:
    """`relative_error`: root of the summed squared differences over that of the summed squares.

    `types` counts the tensors by how they are stored.
    """

    tensors: int
    relative_error: float
    max_absolute_error: float
    types: Mapping[str, int]


def digest_of(encoded: npt.NDArray[np.generic]) -> str:
    """Hexadecimal SHA-256 of a tensor's bytes as they stand in the file."""
    return hashlib.sha256(np.ascontiguousarray(encoded).view(np.uint8).data).hexdigest()


def check_gguf(
    path: Path,
    expected: Sequence[T],
    read: Callable[[T], Float32],
    step: Callable[[int, int], None] | None = None,
    *,
    digests: Mapping[str, str] | None,
) -> GgufCheck:
    """Compare each tensor of the file with its source.

    `digests` are of the bytes that were handed to the writer, by tensor: with them bytes, types and
    shapes must be equal, and values within what the type's rounding allows. None is for files that
    llama.cpp quantised: it chooses the types, and values must be within the type's usual error.
    Raises `ModelError` naming the first tensor that is missing, surplus or different.
    """
    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    if set(stored) != {tensor.name for tensor in expected}:
        raise _different(path, "its list of tensors", "names were lost or added")
    squares = differences = largest = 0.0
    types: dict[str, int] = {}
    for number, tensor in enumerate(expected):
        if step is not None:
            step(len(expected) + number, 2 * len(expected))
        found = stored[tensor.name]
        shape = tuple(int(length) for length in reversed(found.shape))
        same_type = digests is None or found.tensor_type is tensor.type
        if not same_type or shape != tensor.shape:
            raise _different(path, tensor.name, "type or shape differ")
        if digests is not None and digest_of(found.data) != digests[tensor.name]:
            raise _different(path, tensor.name, "its bytes changed")
        source = read(tensor)
        error = _error(path, found, source, chosen_by_us=digests is not None)
        types[found.tensor_type.name] = types.get(found.tensor_type.name, 0) + 1
        squares += float(np.vdot(source, source))
        differences += float(np.vdot(error, error))
        largest = max(largest, float(error.max()))
    relative = (differences / squares) ** 0.5 if squares else 0.0
    return GgufCheck(len(expected), relative, largest, dict(sorted(types.items())))


def _error(path: Path, found: ReaderTensor, source: Float32, *, chosen_by_us: bool) -> Float32:
    """Absolute differences of a tensor's values from its source, if they are as its type allows."""
    values = gguf.dequantize(found.data, found.tensor_type).reshape(source.shape)
    error: Float32 = np.abs(values - source)
    if chosen_by_us:
        faithful = _is_rounded(values, source, error, found.tensor_type)
    else:
        limit = _RELATIVE_LIMITS.get(found.tensor_type, 0.0)
        faithful = bool(np.linalg.norm(error) <= limit * np.linalg.norm(source))
    if not faithful:
        raise _different(path, found.name, "values differ by more than the type allows")
    return error


def _is_rounded(
    values: Float32, source: Float32, error: Float32, type_: GGMLQuantizationType
) -> bool:
    """Whether `values` is what the type makes of `source`; both of the same shape.

    The size of a step is stored as float16: a relative error of 2^-11 where it is a normal number,
    an absolute one of 2^-25 below. The last term covers the float32 arithmetic of the check.
    """
    if type_ in _STEPS:
        steps, rounding = _STEPS[type_]
        step = np.abs(source).reshape(-1, _BLOCK).max(axis=1) / steps
        bound = step * (rounding + steps * 2.0**-11 + 1e-3) + steps * 2.0**-25
        return bool((error.reshape(-1, _BLOCK).max(axis=1) <= bound).all())
    cast = torch.from_numpy(source).to(_NARROW.get(type_, torch.float32)).float().numpy()
    return bool(np.array_equal(values, cast))


def _different(path: Path, where: str, why: str) -> ModelError:
    return ModelError(
        f"The GGUF file does not hold what was written: {why}.",
        where=f"{path.name}: {where}",
        hint="The disk or memory may be at fault; run the export phase again.",
    )

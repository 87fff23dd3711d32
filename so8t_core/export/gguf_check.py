"""Reads a GGUF file back and compares every tensor with what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import gguf
import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFReader

from so8t_core.contract.errors import ModelError

Float32 = npt.NDArray[np.float32]

_Q8_BLOCK = 32
_Q8_STEPS = 127.0
# Half a step of rounding; and the step itself is stored as float16: relative error 2^-11 where
# it is a normal number, absolute error 2^-25 below; times up to 127 steps. The rest covers the
# float32 arithmetic of the check.
_Q8_BOUND_STEPS = 0.5 + _Q8_STEPS * 2.0**-11 + 1e-3
_Q8_BOUND_ABSOLUTE = _Q8_STEPS * 2.0**-25


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
    """`relative_error`: root of the summed squared differences over that of the summed squares."""

    tensors: int
    relative_error: float
    max_absolute_error: float


def check_gguf(
    path: Path,
    expected: Sequence[T],
    read: Callable[[T], Float32],
    step: Callable[[int, int], None] | None = None,
) -> GgufCheck:
    """Compare each tensor: F32, F16 and BF16 exactly with the cast, Q8_0 within its bound.

    Raises `ModelError` naming the first tensor that is missing, surplus or different.
    """
    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    if set(stored) != {tensor.name for tensor in expected}:
        raise _different(path, "its list of tensors", "names were lost or added")
    squares = differences = largest = 0.0
    for number, tensor in enumerate(expected):
        if step is not None:
            step(len(expected) + number, 2 * len(expected))
        found = stored[tensor.name]
        shape = tuple(int(length) for length in reversed(found.shape))
        if found.tensor_type is not tensor.type or shape != tensor.shape:
            raise _different(path, tensor.name, "type or shape differ")
        source = read(tensor)
        values = gguf.dequantize(found.data, tensor.type).reshape(shape)
        error = np.abs(values - source)
        if not _is_faithful(values, source, error, tensor.type):
            raise _different(path, tensor.name, "values differ by more than the type allows")
        squares += float(np.vdot(source, source))
        differences += float(np.vdot(error, error))
        largest = max(largest, float(error.max()))
    return GgufCheck(len(expected), (differences / squares) ** 0.5 if squares else 0.0, largest)


def _is_faithful(
    values: Float32, source: Float32, error: Float32, type_: GGMLQuantizationType
) -> bool:
    """Whether `values` is what the type makes of `source`; both of the same shape."""
    if type_ is GGMLQuantizationType.Q8_0:
        steps = np.abs(source).reshape(-1, _Q8_BLOCK).max(axis=1) / _Q8_STEPS
        bound = steps * _Q8_BOUND_STEPS + _Q8_BOUND_ABSOLUTE
        return bool((error.reshape(-1, _Q8_BLOCK).max(axis=1) <= bound).all())
    narrow = {GGMLQuantizationType.F16: torch.float16, GGMLQuantizationType.BF16: torch.bfloat16}
    cast = torch.from_numpy(source).to(narrow.get(type_, torch.float32)).float().numpy()
    return bool(np.array_equal(values, cast))


def _different(path: Path, where: str, why: str) -> ModelError:
    return ModelError(
        f"The GGUF file does not hold what was written: {why}.",
        where=f"{path.name}: {where}",
        hint="The disk or memory may be at fault; run the export phase again.",
    )

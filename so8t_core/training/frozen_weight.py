"""The weight of a frozen linear, dense in front of each product however it is stored."""

# bitsandbytes has no annotations
# mypy: disable-error-code="attr-defined, no-untyped-call, no-any-return"
from __future__ import annotations

from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from torch import Tensor, nn

from so8t_core.model import ops


class FrozenWeight:
    """The weight of a frozen linear, however it is stored, dense when it is asked for."""

    def __init__(self, linear: nn.Module) -> None:
        self._linear: Any = linear
        self._int8 = isinstance(linear, Linear8bitLt)
        # on the linear alone while the weight is sharded
        self._state = linear.weight.quant_state if isinstance(linear, Linear4bit) else None

    @property
    def written_anew(self) -> bool:
        """Whether `dense` may put something beside the weight at no cost."""
        return self._int8

    def dense(
        self, dtype: torch.dtype, matrices: Tensor | None, beside: Tensor | None = None
    ) -> Tensor:
        """(out, in) in `dtype`, its rows rotated by `matrices`, (out / 8, 8, 8), where given.

        `beside`: (out, more) in `dtype`, to stand in further columns; only of what is
        `written_anew`, and not with `matrices`.
        """
        linear = self._linear
        if self._int8:
            if linear.weight.CB is not None:
                linear.init_8bit_state()
            codes, scales = linear.state.CB, linear.state.SCB
            if matrices is None:
                return ops.dequantize(codes, scales, dtype, beside)
            return ops.dequantize_turned(codes, scales, matrices, dtype)
        weight = linear.weight
        if self._state is not None:
            weight = dequantize_4bit(weight.t(), self._state).to(dtype).t()
        if matrices is None:
            return weight.to(dtype)
        return ops.dequantize_turned(weight.contiguous(), None, matrices, dtype)

"""8-bit base weights, multiplied in 16 bits: bitsandbytes' storage without its LLM.int8 product.

bitsandbytes' int8 linears round the activations to 8 bits as well, look for outliers (which waits
for the device at every product) and keep their input in a way that no checkpointing can drop. Here
the int8 weight is dequantised in front of each product, forward and backward; a product keeps the
weights it was given and nothing else.
"""

# bitsandbytes has no annotations, torch annotates its autograd functions only in part
# mypy: disable-error-code="attr-defined, misc, no-any-return, no-untyped-call"
from __future__ import annotations

from typing import Any

import torch
from bitsandbytes.functional import int8_vectorwise_quant
from bitsandbytes.nn import Linear8bitLt
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from so8t_core.model.ops import dequantize, reference


class Int8Product(Function):
    """x Wᵀ with W = codes · scales / 127, dequantised to the dtype of x and dropped again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        """`x`: (..., in); `codes`: (out, in) int8; `scales`: (out,) float32. Returns (..., out)."""
        ctx.save_for_backward(codes, scales)
        return nn.functional.linear(x, dequantize(codes, scales, x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """The gradient of x; the weight is frozen."""
        codes, scales = ctx.saved_tensors
        return upstream @ dequantize(codes, scales, upstream.dtype), None, None


class DequantizedLinear(Linear8bitLt):
    """bitsandbytes' int8 linear whose product is `Int8Product`."""

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (..., in) of any floating dtype; under autocast computed in autocast's."""
        if self.weight.CB is not None:
            self.init_8bit_state()
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        product = Int8Product.apply(x.to(dtype), self.state.CB, self.state.SCB)
        return product if self.bias is None else product + self.bias.to(dtype)


def as_stored(weight: Tensor) -> Tensor:
    """What an int8 base multiplies by in place of `weight`, (out, in): rounded to codes and back.

    Returns float32, equal to the bit to what bitsandbytes stores when it loads the weight.
    """
    codes, scales, _ = int8_vectorwise_quant(weight.to(torch.float16))
    return reference.dequantize(codes, scales, torch.float32)


@torch.no_grad()
def store_as_int8(model: nn.Module) -> int:
    """Give the linears that an int8 base quantises the weights of one; returns how many.

    Their modules and dtypes stay, so that the model computes in its own precision with the weights
    that training saw.
    """
    count = 0
    for name, parameter in model.named_parameters():
        if quantised(name):
            parameter.copy_(as_stored(parameter))
            count += 1
    return count


def quantised(name: str) -> bool:
    """Whether an int8 base stores the weight of that name quantised: a linear of a layer."""
    return ".layers." in name and name.endswith(("_proj.weight", "_proj.base_layer.weight"))


def multiply_dequantized(model: nn.Module) -> int:
    """Make every frozen int8 linear of a model multiply dequantised weights; returns how many.

    The modules stay what and where they are, so that names, hooks and stored weights do not change.
    """
    count = 0
    for module in model.modules():
        if type(module) is Linear8bitLt and not module.state.has_fp16_weights:
            module.__class__ = DequantizedLinear
            count += 1
    return count


def multiply_as_stock(model: nn.Module) -> int:
    """Undo `multiply_dequantized`; returns how many linears changed."""
    count = 0
    for module in model.modules():
        if type(module) is DequantizedLinear:
            module.__class__ = Linear8bitLt  # type: ignore[assignment]
            count += 1
    return count

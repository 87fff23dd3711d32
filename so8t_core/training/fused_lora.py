"""LoRA's product as one operation, and the gate inside o_proj's: W x + s B A drop(x), rotated.

PEFT adds LoRA to a linear by five operations that each read or write all activations; with
dropout they take longer than LoRA's own products. Here B's product adds to the base's in place, the
dropout mask is computed inside the kernels, and the rotation of a gate is applied to the weights
instead of the activations: R (W x + s B A x) = (R W) x + s (R B) A x. The gate's gradient needs the
rotated output only: with y = R h, Σ g hᵀ = (Σ g yᵀ) R, since Rᵀ is R's inverse.

Frozen weights are dequantised in front of each product, forward and backward, and dropped again;
only where a checkpointed layer is computed anew, they stay for its backward pass, which is next. A
layer computed anew does without the product that ends it: nobody reads what comes out.

A dequantised weight is written anew in any case, so s B is written beside it; and where what comes
in is written by an operation of ours, that leaves room for A x behind each row. Then
[x, A x] [W, s B]ᵀ is one product, and nothing is read again to be added to.
Kept for the backward pass: the input, A x (rank numbers a token), and y where a gate is.
"""

# torch annotates its autograd functions only in part, peft not at all
# mypy: disable-error-code="attr-defined, no-untyped-call, no-any-return, misc"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from transformers.models.phi3.modeling_phi3 import Phi3DecoderLayer

from so8t_core.model import ops
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Attention, SO8TRotationGate
from so8t_core.model.ops.reference import Dropout
from so8t_core.training.frozen_weight import FrozenWeight

_ADAPTER = "default"
_ALIGNED = 16
"""Bytes; products of rows that begin elsewhere are slow."""
_KEYS = 2**31 - 1


class LoraProduct(Function):
    """R (x Wᵀ + scaling · drop(x) Aᵀ Bᵀ) and its gradients in x, A, B and R."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        a: Tensor,
        b: Tensor,
        matrices: Tensor | None,
        weight: FrozenWeight,
        scaling: float,
        dropout: Dropout | None,
        low: tuple[Tensor, Tensor] | None,
        unread: bool = False,
        place: Tensor | None = None,
    ) -> Tensor:
        """`x`: (tokens, in); `a`: (r, in); `b`: (out, r); `matrices`: (out / 8, 8, 8) or None.

        `low`: what `low_copies` makes of them, if that was done before; `place`: (tokens, in + r),
        what x lies in, with room for A x. Returns (tokens, out) in the dtype of x; where it is
        `unread`, which a gate's product never is, without any content.
        """
        low_a, low_b = low or low_copies(a, b, matrices, scaling, x.dtype)
        if place is None:
            inner = _down(x, low_a, dropout)
            dense = weight.dense(x.dtype, matrices)
            left, right = x, dense
        else:
            inner = _down(x, low_a, dropout, place[:, x.shape[1] :])
            left, right = place, weight.dense(x.dtype, None, low_b)
            dense = right[:, : x.shape[1]]
        if unread:
            out = x.new_empty(x.shape[0], dense.shape[0])
        else:
            out = left @ right.t()
            if place is None:
                out.addmm_(inner, low_b.t())
        kept = None if matrices is None else out
        ctx.save_for_backward(x, inner, low_a, low_b, matrices, kept)
        ctx.weight, ctx.scaling, ctx.dropout = weight, scaling, dropout
        ctx.dense = dense if _recomputing() else None
        ctx.dtypes = a.dtype, b.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """Gradients of what needs one; those of A, B and R in their own dtypes."""
        x, inner, low_a, low_b, matrices, out = ctx.saved_tensors
        upstream = upstream.contiguous()
        inner_gradient = upstream @ low_b
        of_x = of_a = of_b = of_matrices = None
        if ctx.needs_input_grad[0]:
            dense = ctx.weight.dense(x.dtype, matrices) if ctx.dense is None else ctx.dense
            of_x = upstream @ dense
            _up_into(of_x, inner_gradient, low_a, ctx.dropout)
        if ctx.needs_input_grad[1]:
            of_a = _gradient_of_a(inner_gradient, x, ctx.dropout).to(ctx.dtypes[0])
        if ctx.needs_input_grad[2]:
            gradient = _product_in_float32(upstream.t(), inner)
            back = None if matrices is None else matrices.mT
            of_b = _turned(gradient, back, ctx.scaling).to(ctx.dtypes[1])
        if matrices is not None and ctx.needs_input_grad[3]:
            of_matrices = ops.rotation_gradient(upstream, out, matrices)
        return of_x, of_a, of_b, of_matrices, *[None] * 6


def _recomputing() -> bool:
    """Whether a backward pass is running: this layer's own follows at once."""
    return bool(torch._C._current_graph_task_id() != -1)


def output_unread(layer: Phi3DecoderLayer) -> bool:
    """Whether a checkpointed layer runs again for its backward pass alone.

    What it returns was read when it ran first. In a checkpoint around others, a layer's first run
    in the backward pass is without gradients, and is read.
    """
    again = bool(layer.gradient_checkpointing and layer.training) and torch.is_grad_enabled()
    return again and _recomputing()


def _down(x: Tensor, a: Tensor, dropout: Dropout | None, out: Tensor | None = None) -> Tensor:
    if dropout is None:
        return torch.mm(x, a.t(), out=out)
    return ops.lora_down(x, a, dropout, out)


def _lies_in(rows: Tensor, place: Tensor) -> bool:
    """Whether these rows are the beginnings of the rows of a place."""
    return (
        rows.dtype == place.dtype
        and rows.data_ptr() == place.data_ptr()
        and (rows.shape[0], rows.stride()) == (place.shape[0], place.stride())
    )


def _up_into(out: Tensor, g: Tensor, a: Tensor, dropout: Dropout | None) -> None:
    if dropout is None:
        out.addmm_(g, a)
    else:
        ops.lora_up_into(out, g, a, dropout)


def _gradient_of_a(g: Tensor, x: Tensor, dropout: Dropout | None) -> Tensor:
    if dropout is None:
        return _product_in_float32(g.t(), x)
    return ops.lora_gradient_of_a(g, x, dropout)


def _product_in_float32(left: Tensor, right: Tensor) -> Tensor:
    """Left times right with the sums not rounded to 16 bits, where the device can."""
    if left.device.type == "cuda" and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()


def low_copies(
    a: Tensor, b: Tensor, matrices: Tensor | None, scaling: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """A and scaling · R B in the dtype of the products."""
    return a.to(dtype), _turned(b, matrices, scaling).to(dtype)


def _turned(b: Tensor, matrices: Tensor | None, scaling: float) -> Tensor:
    """Scaling · R b for `b`, (out, r)."""
    scaled = b * scaling
    return scaled if matrices is None else _rows_turned(scaled, matrices)


def _rows_turned(b: Tensor, matrices: Tensor) -> Tensor:
    return ops.dequantize_turned(b, None, matrices, b.dtype)


def _turned_together(scaled: Sequence[Tensor], matrices: Sequence[Tensor | None]) -> list[Tensor]:
    """Each B rotated by the gate behind it, if there is one: all of them in one operation."""
    result = list(scaled)
    gated = {n: turn for n, turn in enumerate(matrices) if turn is not None}
    if gated:
        rows = torch.cat([result[n] for n in gated])
        turned = _rows_turned(rows, torch.cat(list(gated.values())))
        parts = turned.split([len(result[n]) for n in gated])
        for n, part in zip(gated, parts, strict=True):
            result[n] = part
    return result


class FusedForward:
    """Stands in for the forward of a LoRA layer, and of the gate behind it if there is one.

    `ends`: the layer of the model whose last product it is.
    """

    def __init__(
        self,
        layer: LoraLayer,
        behind: SO8TPhi3Attention | None,
        ends: Phi3DecoderLayer | None,
    ) -> None:
        self._layer: Any = layer
        self._behind = behind
        self._ends = ends
        self._stock = layer.forward
        self._weight = FrozenWeight(self._layer.get_base_layer())
        self._place: Tensor | None = None
        self.low: tuple[Tensor, Tensor] | None = None

    def input_place(self, like: Tensor, width: int) -> Tensor | None:
        """Where the next input should be written, so that there is room for A x behind it.

        `like`: of as many rows, and of the dtype and device that the input will have; `width`: of
        the input. Returns (rows, width) with rows apart, or None where nothing is gained.
        """
        rank = self._layer.r[_ADAPTER]
        aligned = all(n * like.element_size() % _ALIGNED == 0 for n in (width, rank))
        if self._behind is not None or not self._weight.written_anew or not aligned:
            return None
        place = like.new_empty(like.shape[0], width + rank)
        # an alias whose changes autograd does not count: A x is no part of the input
        self._place = place.data
        return place[:, :width]

    def __call__(self, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        """`x`: (..., in). Returns (..., out), in autocast's dtype or that of x."""
        layer, place = self._layer, self._place
        self._place = None
        if layer.disable_adapters or layer.merged or arguments or named:
            gate = None if self._behind is None else self._behind.rotation_gate
            stock: Tensor = self._stock(x, *arguments, **named)
            return stock if gate is None else gate(stock)
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        rows = x.reshape(-1, x.shape[-1]).to(dtype)
        if place is not None and not _lies_in(rows, place):
            place = None
        with torch.autocast(kind, enabled=False):
            out = LoraProduct.apply(
                rows,
                *self.trained(),
                self._weight,
                self.scaling,
                self._dropout(),
                self.low,
                self._ends is not None and output_unread(self._ends),
                place,
            )
        return out.view(*x.shape[:-1], out.shape[-1])

    def trained(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """A, B, and the rotation behind them if there is one."""
        layer, gate = self._layer, self._gate()
        matrices = None if gate is None else gate.rotation()
        return layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight, matrices

    def _gate(self) -> SO8TRotationGate | None:
        gate = None if self._behind is None else self._behind.rotation_gate
        return None if gate is None else _in_use(gate)

    @property
    def scaling(self) -> float:
        """LoRA's alpha / r."""
        return float(self._layer.scaling[_ADAPTER])

    def _dropout(self) -> Dropout | None:
        module = self._layer.lora_dropout[_ADAPTER]
        if not (isinstance(module, nn.Dropout) and module.training and module.p):
            return None
        # on the CPU, so that nothing waits for the device; checkpointing restores this generator
        first, second = torch.randint(0, _KEYS, (2,)).tolist()
        return Dropout(module.p, (first, second))


class LoraBank:
    """The 16-bit copies of all A and B, made once an optimiser step instead of at each product.

    Between `open` and `close` the weights must not change. Nothing happens in float32, or where no
    layer is fused. A gate's rotation is part of the copies: open after the `RotationBank`.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        found = [m.forward for m in model.modules() if isinstance(m, LoraLayer)]
        self._fused = [one for one in found if isinstance(one, FusedForward)]
        self._dtype = dtype

    @torch.no_grad()
    def open(self) -> None:
        """Make the copies: a few operations over all layers together."""
        if self._dtype == torch.float32 or not self._fused:
            return
        a, b, matrices = zip(*(one.trained() for one in self._fused), strict=True)
        scaled = torch._foreach_mul(b, [one.scaling for one in self._fused])
        turned = _turned_together(scaled, matrices)
        low = [torch.empty_like(one, dtype=self._dtype) for one in (*a, *turned)]
        torch._foreach_copy_(low, [*a, *turned])
        for one, low_a, low_b in zip(self._fused, low[: len(a)], low[len(a) :], strict=True):
            one.low = low_a, low_b

    def close(self) -> None:
        """Let go of them."""
        for one in self._fused:
            one.low = None


def fuse_lora(model: PeftModel) -> int:
    """Give every LoRA layer of a model the fused product; returns how many layers changed.

    Left as they are: variants such as DoRA, linears with a bias, adapters on other modules. A gate
    whose rotations are orthogonal by construction goes into its o_proj.
    """
    behind = {
        id(attention.o_proj): attention
        for attention in model.modules()
        if isinstance(attention, SO8TPhi3Attention)
        and attention.rotation_gate is not None
        and _in_use(attention.rotation_gate).parametrisation != "free"
    }
    ends = {
        id(layer.mlp.down_proj): layer
        for layer in model.modules()
        if isinstance(layer, Phi3DecoderLayer)
    }
    fusible = [m for m in model.modules() if isinstance(m, LoraLayer) and _fusible(m)]
    count = 0
    for module in fusible:
        attention = behind.get(id(module))
        if attention is not None:
            attention.projection_turns = True
        module.forward = FusedForward(module, attention, ends.get(id(module)))
        count += 1
    return count


def unfuse_lora(model: PeftModel) -> None:
    """Undo `fuse_lora`."""
    for module in model.modules():
        if isinstance(module, LoraLayer) and isinstance(module.forward, FusedForward):
            del module.forward
        if isinstance(module, SO8TPhi3Attention):
            module.projection_turns = False


def _fusible(layer: Any) -> bool:
    base = layer.get_base_layer()
    return (
        isinstance(base, nn.Linear)
        and base.bias is None
        and list(layer.lora_A) == [_ADAPTER]
        and not layer.lora_variant
        and layer.lora_B[_ADAPTER].bias is None
    )


def _in_use(gate: Any) -> SO8TRotationGate:
    """PEFT's trained copy of a gate, or the base's own where none is trained."""
    copies = getattr(gate, "modules_to_save", None)
    used = gate if copies is None else copies[_ADAPTER]
    assert isinstance(used, SO8TRotationGate)
    return used

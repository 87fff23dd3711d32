"""Phi-3's layers for training: on joined products and joined sums, see `model/ops`."""

# torch annotates its autograd functions only in part, transformers its classes
# mypy: disable-error-code="no-untyped-call, no-any-return, misc"
from __future__ import annotations

from functools import cache
from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import (
    Phi3DecoderLayer,
    Phi3MLP,
    Phi3RMSNorm,
    eager_attention_forward,
)

from so8t_core.model import ops
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Attention
from so8t_core.training.fused_lora import FusedForward, output_unread
from so8t_core.training.packed_attention import ENDS, packed_attention


class SwiGLU(Function):
    """silu(gate) · up of a joined (tokens, 2 n)."""

    @staticmethod
    def forward(ctx: Any, joined: Tensor, out: Tensor | None) -> Tensor:
        """Returns (tokens, n); in `out`, where that is given."""
        ctx.save_for_backward(joined)
        return ops.swiglu(joined, out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """The gradient of `joined`."""
        (joined,) = ctx.saved_tensors
        return ops.swiglu_back(joined, upstream.contiguous()), None


class TurnedHeads(Function):
    """Queries, keys and values, (batch, heads, tokens, size), from the joined product."""

    @staticmethod
    def forward(
        ctx: Any, joined: Tensor, cosines: Tensor, sines: Tensor, queries: int, keys: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `ops.turn_heads`; they take the place of the joined product, which is gone."""
        ctx.save_for_backward(cosines, sines)
        heads = ops.turn_heads(joined.detach(), cosines, sines, (queries, keys))
        q, k, v = heads.unflatten(-1, (queries + 2 * keys, -1)).split((queries, keys, keys), dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_q: Tensor, of_k: Tensor, of_v: Tensor) -> Any:
        """The gradient of the joined product."""
        cosines, sines = ctx.saved_tensors
        return ops.turn_heads_back(of_q, of_k, of_v, cosines, sines), None, None, None, None


class Norm(Function):
    """The root-mean-square norm of (tokens, width), by a frozen weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Returns the norm."""
        total, out, scales = ops.norm(x, None, weight, epsilon)
        ctx.save_for_backward(total, weight, scales)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """The gradient of x."""
        return ops.norm_back(upstream.contiguous(), None, *ctx.saved_tensors), None, None


class SumAndNorm(Function):
    """x + added, and the root-mean-square norm of that, by a frozen weight."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        added: Tensor | None,
        weight: Tensor,
        epsilon: float,
        out: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """`x`, `added`: (tokens, width). Returns the sum, or x, and its norm; that in `out`."""
        total, normed, scales = ops.norm(x, added, weight, epsilon, out)
        ctx.save_for_backward(total, weight, scales)
        ctx.adds = added is not None
        return total if ctx.adds else x.view_as(x), normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, upstream: Tensor) -> Any:
        """One gradient, which is that of both summands."""
        gradient = ops.norm_back(upstream.contiguous(), of_total.contiguous(), *ctx.saved_tensors)
        return gradient, gradient if ctx.adds else None, None, None, None


class UnreadSum(Function):
    """x + added where nobody reads it: the gradients alone."""

    @staticmethod
    def forward(_ctx: Any, _x: Tensor, added: Tensor) -> Tensor:
        """Returns a tensor of their shape, of any content."""
        return added.view_as(added)

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, upstream: Tensor) -> Any:
        """That of both summands."""
        return upstream, upstream


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    rows = hidden_states.reshape(-1, hidden_states.shape[-1])
    return Norm.apply(rows, self.weight, self.variance_epsilon).view_as(hidden_states)


def _layer_forward(self: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    """As Phi-3's, with each norm and the sum before or beside it in one pass."""
    before, after = self.input_layernorm, self.post_attention_layernorm
    total, normed = _sum_and_norm(hidden_states, None, before, self.self_attn.qkv_proj)
    attended, _ = self.self_attn(hidden_states=normed, **kwargs)
    total, normed = _sum_and_norm(total, attended, after, self.mlp.gate_up_proj)
    added = self.mlp(normed)
    return UnreadSum.apply(total, added) if output_unread(self) else total + added


def _sum_and_norm(
    x: Tensor, added: Tensor | None, norm: Any, reader: nn.Module
) -> tuple[Tensor, Tensor]:
    """The sum, or x, and its norm, which lies as its `reader` would have it."""
    rows = x.reshape(-1, x.shape[-1])
    summand = None if added is None else added.reshape(rows.shape)
    out = _place_for(reader, rows, rows.shape[1])
    total, normed = SumAndNorm.apply(rows, summand, norm.weight, norm.variance_epsilon, out)
    return total.view_as(x), normed.view_as(x)


def _place_for(reader: nn.Module, like: Tensor, width: int) -> Tensor | None:
    forward = reader.__dict__.get("forward")
    return forward.input_place(like, width) if isinstance(forward, FusedForward) else None


def _mlp_forward(self: Any, hidden_states: Tensor) -> Tensor:
    joined = self.gate_up_proj(hidden_states)
    rows = joined.reshape(-1, joined.shape[-1])
    inner = SwiGLU.apply(rows, _place_for(self.down_proj, rows, rows.shape[1] // 2))
    return self.down_proj(inner.view(*joined.shape[:-1], inner.shape[-1]))


def _attention_forward(
    self: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None,
    past_key_values: Any = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """As Phi-3's, with the heads turned and cut in one go; with a cache, Phi-3's own."""
    if past_key_values is not None:
        return type(self).forward(
            self, hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs
        )
    config = self.config
    cosines, sines = (one.contiguous() for one in position_embeddings)
    q, k, v = TurnedHeads.apply(
        self.qkv_proj(hidden_states).contiguous(),
        cosines,
        sines,
        config.num_attention_heads,
        config.num_key_value_heads,
    )
    dropout = self.attention_dropout if self.training else 0.0
    window = getattr(config, "sliding_window", None)
    weights = None
    ends = kwargs.pop(ENDS, None)
    if window is not None and window < q.shape[2]:
        ends = None  # the mask says more than they do
    if ends is not None and ends.shape[1] == 1 and config._attn_implementation == "sdpa":
        ends = attention_mask = None  # each row is one sequence: nothing to keep apart
    if ends is not None and not dropout:
        out = packed_attention(q, k, v, ends, self.scaling)  # the mask says the same
    else:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            config._attn_implementation, eager_attention_forward
        )
        out, weights = attend(
            self,
            q,
            k,
            v,
            attention_mask,
            dropout=dropout,
            scaling=self.scaling,
            sliding_window=window,
            **kwargs,
        )
    projected = self.o_proj(out.reshape(*hidden_states.shape[:-1], -1))
    if self.rotation_gate is None or self.projection_turns:
        return projected, weights
    return self.rotation_gate(projected), weights


@cache
def _fused_class(kind: type[Phi3DecoderLayer]) -> type[Phi3DecoderLayer]:
    """A layer's class with the forward above: transformers hangs checkpointing on the class."""
    return type(f"Fused{kind.__name__}", (kind,), {"forward": _layer_forward, _UNFUSED: kind})


_UNFUSED = "so8t_unfused"


def fuse_phi3(model: nn.Module) -> int:
    """Give the layers of a model, their parts and its norms these forwards; returns how many.

    Left as they are: MLPs whose activation is not SiLU, norms that are trained, layers with dropout
    on their sums.
    """
    count = 0
    for module in model.modules():
        forward = _fused_forward(module)
        if forward is not None:
            module.forward = MethodType(forward, module)
            count += 1
        elif _is_joinable(module):
            kind: Any = type(module)
            module.__class__ = _fused_class(kind)
            count += 1
    return count


def _is_joinable(module: Any) -> bool:
    """Whether it is a layer whose sum and norm can be one operation, and are not yet."""
    return (
        isinstance(module, Phi3DecoderLayer)
        and not hasattr(module, _UNFUSED)
        and not module.config.resid_pdrop
        and not module.input_layernorm.weight.requires_grad
        and not module.post_attention_layernorm.weight.requires_grad
    )


def _fused_forward(module: Any) -> Any:
    """What takes the place of a module's forward; None: nothing does."""
    if isinstance(module, SO8TPhi3Attention):
        return _attention_forward
    if isinstance(module, Phi3MLP) and module.config.hidden_act == "silu":
        return _mlp_forward
    if isinstance(module, Phi3RMSNorm) and not module.weight.requires_grad:
        return _norm_forward
    return None


def unfuse_phi3(model: nn.Module) -> None:
    """Undo `fuse_phi3`."""
    ours = (_attention_forward, _mlp_forward, _norm_forward)
    for module in model.modules():
        if getattr(module.__dict__.get("forward"), "__func__", None) in ours:
            del module.forward
        elif hasattr(module, _UNFUSED):
            module.__class__ = getattr(module, _UNFUSED)

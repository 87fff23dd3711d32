"""Phi-3's attention and MLP for training, on the joined products: see `model/ops/phi3.py`."""

# torch annotates its autograd functions only in part, transformers its classes
# mypy: disable-error-code="no-untyped-call, no-any-return, misc"
from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import Phi3MLP, eager_attention_forward

from so8t_core.model import ops
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Attention


class SwiGLU(Function):
    """silu(gate) · up of a joined (tokens, 2 n)."""

    @staticmethod
    def forward(ctx: Any, joined: Tensor) -> Tensor:
        """Returns (tokens, n)."""
        ctx.save_for_backward(joined)
        return ops.swiglu(joined)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """The gradient of `joined`."""
        (joined,) = ctx.saved_tensors
        return ops.swiglu_back(joined, upstream.contiguous())


class TurnedHeads(Function):
    """Queries, keys and values, (batch, heads, tokens, size), from the joined product."""

    @staticmethod
    def forward(
        ctx: Any, joined: Tensor, cosines: Tensor, sines: Tensor, queries: int, keys: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `ops.turn_heads`; nothing of the joined product is kept."""
        ctx.save_for_backward(cosines, sines)
        heads = ops.turn_heads(joined, cosines, sines, (queries, keys))
        q, k, v = heads.unflatten(-1, (queries + 2 * keys, -1)).split((queries, keys, keys), dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_q: Tensor, of_k: Tensor, of_v: Tensor) -> Any:
        """The gradient of the joined product."""
        cosines, sines = ctx.saved_tensors
        return ops.turn_heads_back(of_q, of_k, of_v, cosines, sines), None, None, None, None


def _mlp_forward(self: Any, hidden_states: Tensor) -> Tensor:
    joined = self.gate_up_proj(hidden_states)
    inner = SwiGLU.apply(joined.reshape(-1, joined.shape[-1]))
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
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(
        config._attn_implementation, eager_attention_forward
    )
    out, weights = attend(
        self,
        q,
        k,
        v,
        attention_mask,
        dropout=self.attention_dropout if self.training else 0.0,
        scaling=self.scaling,
        sliding_window=getattr(config, "sliding_window", None),
        **kwargs,
    )
    projected = self.o_proj(out.reshape(*hidden_states.shape[:-1], -1))
    if self.rotation_gate is None or self.projection_turns:
        return projected, weights
    return self.rotation_gate(projected), weights


def fuse_phi3(model: nn.Module) -> int:
    """Give the attention and MLP of every layer these forwards; returns how many changed.

    Left as they are: MLPs whose activation is not SiLU.
    """
    count = 0
    for module in model.modules():
        if isinstance(module, SO8TPhi3Attention):
            module.forward = MethodType(_attention_forward, module)  # type: ignore[method-assign]
        elif isinstance(module, Phi3MLP) and module.config.hidden_act == "silu":
            module.forward = MethodType(_mlp_forward, module)  # type: ignore[method-assign]
        else:
            continue
        count += 1
    return count


def unfuse_phi3(model: nn.Module) -> None:
    """Undo `fuse_phi3`."""
    ours = (_attention_forward, _mlp_forward)
    for module in model.modules():
        if getattr(module.__dict__.get("forward"), "__func__", None) in ours:
            del module.forward

"""Phi-3 with a rotation after each attention's output projection.

A subclass of transformers' Phi-3 and nothing more: where a layer has a gate, the attention's output
h (after o_proj, before the residual sum) becomes blockdiag(R_1, ..., R_n) h. At the start every R
is the identity and the model equals its base to the bit.

This file and `so8.py` are shipped as they are inside every gated checkpoint.
"""

# transformers annotates only part of what is subclassed here
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import Cache, initialization
from transformers.models.phi3.configuration_phi3 import Phi3Config
from transformers.models.phi3.modeling_phi3 import (
    Phi3Attention,
    Phi3DecoderLayer,
    Phi3ForCausalLM,
    Phi3Model,
    Phi3PreTrainedModel,
)

from .so8 import BLOCK, PARAMETRISATIONS, parameter_shape, whole

try:  # the same operations with kernels, where the package that they are part of is installed
    from so8t_core.model.ops import rotate, rotation
except ImportError:
    from .so8 import rotate, rotation


@strict
class SO8TPhi3Config(Phi3Config):
    """Phi-3's configuration and where its gates are.

    `gate_layers`: indices of the layers with a gate; None means all. `gate_blocks`: indices of the
    blocks of eight that turn in each of them, ascending; None means all. `gate_parametrisation`:
    `exp`, `cayley` or `free`. Raises ValueError for a width that is no multiple of 8, a layer or a
    block that is not there, or an unknown parametrisation.
    """

    model_type = "phi3_so8t"

    gate_layers: list[int] | None = None
    gate_blocks: list[int] | None = None
    gate_parametrisation: str = "exp"

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.hidden_size % BLOCK:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of {BLOCK}")
        if self.gate_parametrisation not in PARAMETRISATIONS:
            raise ValueError(
                f"gate_parametrisation {self.gate_parametrisation!r} is none of {PARAMETRISATIONS}"
            )
        for layer in self.gate_layers or ():
            if not 0 <= layer < self.num_hidden_layers:
                raise ValueError(
                    f"gate_layers names layer {layer}; the model has {self.num_hidden_layers}"
                )

        blocks = self.hidden_size // BLOCK
        chosen = self.gate_blocks
        if chosen is not None and (
            not chosen or chosen != sorted(set(chosen)) or not 0 <= chosen[0] <= chosen[-1] < blocks
        ):
            raise ValueError(f"gate_blocks must ascend from 0 to {blocks - 1} and name one block")

    def has_gate(self, layer: int) -> bool:
        """Whether the layer of this index ends its attention in a gate."""
        return self.gate_layers is None or layer in self.gate_layers


class SO8TRotationGate(nn.Module):
    """Rotates blocks of eight hidden dimensions: y_b = R_b h_b.

    `theta`: float32, (m, 28) for m turning blocks, zero at the start; for `free` (m, 8, 8), the
    identity at the start. `blocks`: which of the n = width / 8 turn; None means all. `prepared`: R
    of all n as built from outside, for the gates of all layers at once; None lets the gate build it
    at each call. Raises ValueError for a width that is no multiple of 8.
    """

    theta: nn.Parameter
    prepared: Tensor | None

    def __init__(
        self, width: int, parametrisation: str = "exp", blocks: list[int] | None = None
    ) -> None:
        super().__init__()
        if width % BLOCK:
            raise ValueError(f"a width of {width} is not a multiple of {BLOCK}")
        self.parametrisation = parametrisation
        self.count = width // BLOCK
        self.blocks = None if blocks is None else tuple(blocks)
        self._places: Tensor | None = None  # no buffer: loading would leave it on the meta device
        self.prepared = None
        turning = self.count if blocks is None else len(blocks)
        shape = (turning, *parameter_shape(parametrisation))
        self.theta = nn.Parameter(torch.empty(shape, dtype=torch.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the rotation to the identity."""
        initialization.zeros_(self.theta)
        if self.parametrisation == "free":
            initialization.copy_(self.theta, torch.eye(BLOCK).expand_as(self.theta))

    def chosen_rotations(self) -> Tensor:
        """The matrices R of the blocks that turn: (m, 8, 8), float32."""
        return rotation(self.theta, self.parametrisation)

    def spread(self, chosen: Tensor) -> Tensor:
        """Matrices of all blocks, (..., n, 8, 8), from the turning ones', (..., m, 8, 8)."""
        if self.blocks is None:
            return chosen
        return whole(chosen, self._index(chosen.device), self.count)

    def _index(self, device: torch.device) -> Tensor:
        if torch.compiler.is_compiling():  # a constant of what is compiled, nothing to remember
            return torch.tensor(self.blocks, device=device)
        if self._places is None or self._places.device != device:
            # what is made in inference mode could not be saved for a later training's backward pass
            with torch.inference_mode(mode=False):
                self._places = torch.tensor(self.blocks, device=device)
        return self._places

    def rotation(self) -> Tensor:
        """The matrices R of all blocks: (n, 8, 8), float32."""
        if self.prepared is not None:
            return self.prepared
        return self.spread(self.chosen_rotations())

    def forward(self, hidden: Tensor) -> Tensor:
        """Rotate `hidden`, (..., width); same shape and dtype."""
        return rotate(hidden, self.rotation())

    def extra_repr(self) -> str:
        """Blocks and parametrisation."""
        turning = self.theta.shape[0]
        return f"blocks={turning} of {self.count}, parametrisation={self.parametrisation}"


class SO8TPhi3Attention(Phi3Attention):
    """Phi-3's attention, its output rotated where the configuration asks for a gate.

    `projection_turns`: whether what stands in for o_proj applies the gate already, as the fused
    products of training do.
    """

    projection_turns = False

    def __init__(self, config: SO8TPhi3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.rotation_gate: nn.Module | None = None
        if config.has_gate(layer_idx):
            self.rotation_gate = SO8TRotationGate(
                config.hidden_size, config.gate_parametrisation, config.gate_blocks
            )

    def forward(  # type: ignore[override]  # Phi-3's keyword arguments pass through unnamed
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """As Phi-3's: (output (batch, tokens, width), attention weights or None)."""
        states = super().forward(
            hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs
        )
        if self.rotation_gate is None or self.projection_turns:
            return states[0], states[1]
        return self.rotation_gate(states[0]), states[1]


class SO8TPhi3DecoderLayer(Phi3DecoderLayer):
    """Phi-3's layer around the rotated attention."""

    def __init__(self, config: SO8TPhi3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.self_attn = SO8TPhi3Attention(config, layer_idx)


class SO8TPhi3PreTrainedModel(Phi3PreTrainedModel):
    """What transformers must know of the gate: it stays float32 and starts at the identity."""

    config: SO8TPhi3Config
    config_class = SO8TPhi3Config
    _no_split_modules = ["SO8TPhi3DecoderLayer"]  # noqa: RUF012  transformers reads a list
    _keep_in_fp32_modules_strict = ["rotation_gate"]  # noqa: RUF012
    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": SO8TPhi3DecoderLayer,
        "attentions": SO8TPhi3Attention,
    }

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SO8TRotationGate):
            module.reset_parameters()
        else:
            super()._init_weights(module)


class SO8TPhi3Model(SO8TPhi3PreTrainedModel, Phi3Model):
    """Phi-3's decoder of rotated layers."""

    def __init__(self, config: SO8TPhi3Config) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(
            [SO8TPhi3DecoderLayer(config, layer) for layer in range(config.num_hidden_layers)]
        )
        self.post_init()


class SO8TPhi3ForCausalLM(SO8TPhi3PreTrainedModel, Phi3ForCausalLM):
    """Phi-3's causal language model on the rotated decoder."""

    def __init__(self, config: SO8TPhi3Config) -> None:
        super().__init__(config)
        self.model = SO8TPhi3Model(config)
        self.post_init()

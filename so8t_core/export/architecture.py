"""Phi-3 in GGUF's words: metadata keys, tensor names and rope factors.

Source: the `phi3` architecture of llama.cpp, as its loader reads it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter

from so8t_core.contract.errors import ModelError

ARCHITECTURE = "phi3"

_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_IN_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.qkv_proj.weight": "attn_qkv.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
_LAYER = re.compile(r"^model\.layers\.(\d+)\.(.+)$")


def gguf_name(name: str) -> str:
    """The GGUF name of a stock Phi-3 tensor; `ModelError` for any other."""
    if whole := _WHOLE.get(name):
        return whole
    match = _LAYER.match(name)
    if match and (inner := _IN_LAYER.get(match[2])):
        return f"blk.{match[1]}.{inner}"
    raise ModelError(
        "The folded checkpoint has a tensor that is not a stock Phi-3's.",
        where=name,
        hint="Only folded Phi-3 checkpoints can become GGUF; run the export phase again.",
    )


@dataclass(frozen=True)
class RopeFactors:
    """Longrope's divisors of the frequencies: each (rotary dimensions / 2,) float32."""

    long: npt.NDArray[np.float32]
    short: npt.NDArray[np.float32]
    attention_factor: float


@dataclass(frozen=True)
class Phi3Shape:
    """The hyperparameters that GGUF stores. Lengths in tokens, the rest in numbers of things."""

    vocab_size: int
    hidden_size: int
    feed_forward_size: int
    layers: int
    heads: int
    key_value_heads: int
    context_length: int
    original_context_length: int
    norm_epsilon: float
    rotary_dimensions: int
    rope_base: float
    sliding_window: int
    rope_factors: RopeFactors | None
    tied_embeddings: bool

    @classmethod
    def of(cls, folder: Path) -> Phi3Shape:
        """Read config.json of a stock Phi-3 folder; `ModelError` where it is something else."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(folder)
        if config.model_type != ARCHITECTURE or config.hidden_act != "silu":
            raise ModelError(
                f"Only a stock Phi-3 becomes GGUF; this is {config.model_type} "
                f"with {config.hidden_act}.",
                where=str(folder / "config.json"),
                hint="Fold the SO8T checkpoint first: `so8t export --fold-only`.",
            )
        rope = config.rope_parameters
        rotary = int(
            rope["partial_rotary_factor"] * config.hidden_size // config.num_attention_heads
        )
        return cls(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            feed_forward_size=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            key_value_heads=config.num_key_value_heads,
            context_length=config.max_position_embeddings,
            original_context_length=config.original_max_position_embeddings,
            norm_epsilon=config.rms_norm_eps,
            rotary_dimensions=rotary,
            rope_base=rope["rope_theta"],
            sliding_window=config.sliding_window or 0,
            rope_factors=_rope_factors(config),
            tied_embeddings=bool(config.tie_word_embeddings),
        )

    def add_to(self, writer: GGUFWriter) -> None:
        """Add the metadata keys. A sliding window of 0 says that there is none."""
        writer.add_vocab_size(self.vocab_size)
        writer.add_context_length(self.context_length)
        writer.add_rope_scaling_orig_ctx_len(self.original_context_length)
        writer.add_embedding_length(self.hidden_size)
        writer.add_feed_forward_length(self.feed_forward_size)
        writer.add_block_count(self.layers)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.key_value_heads)
        writer.add_layer_norm_rms_eps(self.norm_epsilon)
        writer.add_rope_dimension_count(self.rotary_dimensions)
        writer.add_rope_freq_base(self.rope_base)
        writer.add_sliding_window(self.sliding_window)
        if self.rope_factors is not None:
            writer.add_rope_scaling_attn_factors(self.rope_factors.attention_factor)

    def extra_tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Tensors that the checkpoint keeps in its config: longrope's factors."""
        if self.rope_factors is None:
            return {}
        return {
            "rope_factors_long.weight": self.rope_factors.long,
            "rope_factors_short.weight": self.rope_factors.short,
        }


def _rope_factors(config: Any) -> RopeFactors | None:
    """Longrope's factors, and its scale of attention (arXiv:2402.13753, as in Phi-3's code)."""
    rope = config.rope_parameters
    if rope["rope_type"] == "default":
        return None
    factors = {name: rope.get(name) for name in ("long_factor", "short_factor")}
    if rope["rope_type"] != "longrope" or None in factors.values():
        raise ModelError(
            f"GGUF's phi3 knows the rope types default and longrope, with its factors; this is "
            f"{rope['rope_type']}.",
            where="config.json: rope_parameters",
            hint="Train from a base with one of them; Ollama and llama.cpp cannot run this one.",
        )
    scale = config.max_position_embeddings / config.original_max_position_embeddings
    factor = rope.get("attention_factor")
    if factor is None:
        growth = math.log(max(scale, 1.0)) / math.log(config.original_max_position_embeddings)
        factor = math.sqrt(1 + growth)
    return RopeFactors(
        long=np.asarray(factors["long_factor"], dtype=np.float32),
        short=np.asarray(factors["short_factor"], dtype=np.float32),
        attention_factor=float(factor),
    )

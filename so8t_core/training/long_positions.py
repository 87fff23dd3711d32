"""LongRoPE for many samples at once: each has the frequencies that it would have alone.

Phi-3.5 turns queries and keys by one set of frequencies in texts up to the length it was first
trained on, and by another in longer ones. transformers takes one set for a whole batch, by its
longest text, so that a short sample would be learnt otherwise beside a long one than alone.
"""

# transformers annotates only part of what is called here
# mypy: disable-error-code="no-untyped-call, no-any-return"
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

_KIND = "longrope"


class RotaryBySample(Phi3RotaryEmbedding):
    """The position embedding whose frequencies are chosen sample by sample."""

    short_frequencies: Tensor
    long_frequencies: Tensor

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """`position_ids`: (rows, width), going on by one within a sample and not beyond.

        Returns cosines and sines, (rows, width, turned), in the dtype of `x`.
        """
        long = lengths_of(position_ids) > _first_length(self.config)
        positions = position_ids[..., None].float()
        angles = torch.where(
            long[..., None], positions * self.long_frequencies, positions * self.short_frequencies
        )
        both = torch.cat((angles, angles), dim=-1)
        scale = self.attention_scaling
        return (both.cos() * scale).to(x.dtype), (both.sin() * scale).to(x.dtype)


def lengths_of(position_ids: Tensor) -> Tensor:
    """How long the sample is up to its last position, for each position: (rows, width).

    A sample ends where the next position does not go on by one. Of a single position, as in
    generation with a cache, the length is what has been written so far.
    """
    width = position_ids.shape[-1]
    ends = torch.ones_like(position_ids, dtype=torch.bool)
    ends[..., :-1] = position_ids[..., 1:] != position_ids[..., :-1] + 1
    places = torch.arange(width, device=position_ids.device).expand_as(position_ids)
    own = torch.where(ends, places, width)
    last = own.flip(-1).cummin(-1).values.flip(-1)
    return position_ids.gather(-1, last) + 1


def choose_by_sample(base: Any, longest: int) -> bool:
    """Have a model choose by sample, where samples up to `longest` tokens may need both sets.

    Returns whether it does; elsewhere nothing is changed.
    """
    embedding = base.model.rotary_emb
    config = embedding.config
    if embedding.rope_type != _KIND or longest <= _first_length(config):
        return False
    device = embedding.inv_freq.device
    make = ROPE_INIT_FUNCTIONS[_KIND]
    for name, length in (("short", None), ("long", _first_length(config) + 1)):
        frequencies, _ = make(config, device, seq_len=length)
        embedding.register_buffer(f"{name}_frequencies", frequencies.float(), persistent=False)
    embedding.__class__ = RotaryBySample
    return True


def chosen_by_sample(base: Any) -> bool:
    """Whether `choose_by_sample` took hold: padded rows need positions of their own then."""
    return isinstance(base.model.rotary_emb, RotaryBySample)


def _first_length(config: Any) -> int:
    length: int = config.rope_parameters["original_max_position_embeddings"]
    return length

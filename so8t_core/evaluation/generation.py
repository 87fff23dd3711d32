"""Greedy answers, the same at every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from so8t_core.evaluation.items import Prompt


@dataclass(frozen=True)
class Answer:
    """Generated tokens without the one that ended them; `ended` is false at the token limit."""

    ids: tuple[int, ...]
    ended: bool


def answer_greedily(
    model: nn.Module,
    prompt: Prompt,
    *,
    end_ids: frozenset[int],
    max_new_tokens: int,
    step: Callable[[], None],
) -> Answer:
    """Take the likeliest token until one of `end_ids` or the limit; `step` runs before each.

    A prompt is answered alone, so no padding can touch its numbers.
    """
    device = next(model.parameters()).device
    given = torch.tensor([prompt.ids], device=device)
    cache: Any = None
    ids: list[int] = []
    with torch.inference_mode():
        while len(ids) < max_new_tokens:
            step()
            output = model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            token = int(output.logits[0, -1].argmax())
            if token in end_ids:
                return Answer(tuple(ids), ended=True)
            ids.append(token)
            given = torch.tensor([[token]], device=device)
    return Answer(tuple(ids), ended=False)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: by the tokenizer, the config and the generation config."""
    found: set[int] = set()
    for value in (
        tokenizer.eos_token_id,
        model.config.eos_token_id,
        model.generation_config.eos_token_id,
    ):
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(value)
    return frozenset(found)

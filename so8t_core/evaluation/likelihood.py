"""How many bits a model needs for a text."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from so8t_core.evaluation.items import ScoredText


def bits_of(model: nn.Module, text: ScoredText) -> float:
    """-log2 of the probability of the scored tokens, each given all tokens before it.

    Divided by `text.size_bytes` this is bits per byte, which unlike perplexity can be compared
    across tokenizers. The softmax is in float32, the sum in float64.
    """
    device = next(model.parameters()).device
    ids = torch.tensor([text.ids], device=device)
    scored = torch.tensor(text.scored[1:], device=device)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1][scored]
        losses = functional.cross_entropy(logits.float(), ids[0, 1:][scored], reduction="none")
        return float(losses.double().sum()) / math.log(2)

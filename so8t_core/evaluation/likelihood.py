"""How many bits a model needs for a text, and how likely it finds a continuation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from so8t_core.contract.errors import ModelError
from so8t_core.evaluation.items import ScoredText
from so8t_core.evaluation.readers import Reader


def bits_of(reader: Reader, text: ScoredText) -> float:
    """-log2 of the probability of the scored tokens, each given all tokens before it.

    Divided by `text.size_bytes` this is bits per byte, which unlike perplexity can be compared
    across tokenizers. The softmax is in float32, the sum in float64.
    """
    reader.cut(0)
    logits = reader.read(text.ids[:-1])
    scored = torch.tensor(text.scored[1:], device=logits.device)
    wanted = torch.tensor(text.ids[1:], device=logits.device)
    losses = functional.cross_entropy(logits[scored], wanted[scored], reduction="none")
    return finite(float(losses.double().sum())) / math.log(2)


def finite(value: float) -> float:
    """The value. Raises `ModelError` where it is none: nothing can be compared with it."""
    if not math.isfinite(value):
        raise ModelError(
            "The model is broken: what it computes is infinite or not a number.",
            hint="Look at the training's loss and at the weights; nothing of it can be compared.",
        )
    return value


@dataclass(frozen=True)
class Continuation:
    """`logprob` in nats of all its tokens; `greedy`: each of them is the likeliest."""

    logprob: float
    greedy: bool


def weigh(
    reader: Reader, context: Sequence[int], choices: Sequence[Sequence[int]]
) -> list[Continuation]:
    """How likely each choice is after what `reader` has read and `context`, a token at least.

    The reader is left as it was: items that share their examples read them once. Portions are the
    same for every item order, so results are too.
    """
    weighed = []
    found = reader.branch(context, [choice[:-1] for choice in choices])
    for choice, logits in zip(choices, found, strict=True):
        wanted = torch.tensor(list(choice), device=logits.device)
        losses = functional.cross_entropy(logits, wanted, reduction="none")
        greedy = bool((logits.argmax(-1) == wanted).all())
        weighed.append(Continuation(-finite(float(losses.double().sum())), greedy))
    return weighed

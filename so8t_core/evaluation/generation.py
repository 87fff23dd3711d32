"""Greedy answers, the same at every run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from so8t_core.evaluation.likelihood import finite
from so8t_core.evaluation.readers import Reader


@dataclass(frozen=True)
class Answer:
    """Generated tokens without the one that ended them; `ended` is false at the token limit.

    `first_token_s` is the time until the first token was known, prompt read; `time_s` all of it.
    """

    ids: tuple[int, ...]
    ended: bool
    first_token_s: float
    time_s: float


def answer_greedily(
    reader: Reader,
    prompt: Sequence[int],
    *,
    end_ids: frozenset[int],
    max_new_tokens: int,
    step: Callable[[], None],
    stops: Callable[[Sequence[int]], bool] = lambda _: False,
    thinks: Callable[[Sequence[int]], bool] = lambda _: False,
    max_thinking_tokens: int = 0,
) -> Answer:
    """Read on from where `reader` stands, take the likeliest token until one of `end_ids`.

    Also ends where `stops` says so of the tokens so far, or at the limit. While `thinks` says so,
    up to `max_thinking_tokens` do not count towards it. `step` runs before each token and does not
    count as time. A prompt is answered alone, so no padding can touch its numbers. Raises
    `ModelError` for a model whose logits are none.
    """
    given = list(prompt)
    ids: list[int] = []
    thinking = 0
    spent = first_s = 0.0
    while len(ids) - thinking < max_new_tokens:
        step()
        started = time.monotonic()
        best = reader.read(given, last_only=True)[-1].max(dim=-1)  # NaN wherever there is one
        finite(float(best.values))
        token = int(best.indices)
        spent += time.monotonic() - started
        first_s = first_s or spent
        if token in end_ids:
            return Answer(tuple(ids), True, first_s, spent)
        ids.append(token)
        if stops(ids):
            return Answer(tuple(ids), True, first_s, spent)
        if len(ids) <= max_thinking_tokens and thinks(ids):
            thinking = len(ids)
        given = [token]
    return Answer(tuple(ids), False, first_s, spent)

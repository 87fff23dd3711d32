"""How fast a side answers, and in how much memory. These figures are no part of any digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Timing:
    """One answer: tokens, seconds until the first and until the last, memory in use after it."""

    tokens: int
    first_token_s: float
    time_s: float
    memory_bytes: int


def speed_figures(timings: Sequence[Timing]) -> dict[str, Any]:
    """Medians over answers, batch of one: speed after the first token, time to it, peak memory."""
    rates = [
        (one.tokens - 1) / (one.time_s - one.first_token_s)
        for one in timings
        if one.tokens > 1 and one.time_s > one.first_token_s
    ]
    figures: dict[str, Any] = {"answers": len(timings)}
    if rates:
        figures["tokens_per_s"] = median(rates)
    if timings:
        figures["first_token_s"] = median(one.first_token_s for one in timings)
        figures["peak_memory_bytes"] = max(one.memory_bytes for one in timings)
    return figures

"""Two models side by side: how far apart their logits are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LogitComparison:
    """Differences over every position of every prompt.

    `scale`: the largest absolute logit of the reference; `relative`: `max_difference / scale`;
    `kl_nats`: mean of KL(reference || candidate) over positions; `top1_agreement`: share of
    positions where both prefer the same token.
    """

    max_difference: float
    mean_difference: float
    scale: float
    relative: float
    kl_nats: float
    top1_agreement: float
    positions: int


def logits_of(model: Any, prompts_ids: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The model's logits on each prompt: (tokens, vocabulary), float32, on the CPU."""
    import torch

    results = []
    with torch.inference_mode():
        for ids in prompts_ids:
            batch = torch.tensor([list(ids)], device=model.device)
            results.append(model(batch, use_cache=False).logits[0].float().cpu())
    return results


def compare(
    reference: Sequence[torch.Tensor], candidate: Sequence[torch.Tensor]
) -> LogitComparison:
    """Compare the results of `logits_of` on the same prompts, in float64."""
    import torch

    ours = torch.cat(list(reference)).double()
    theirs = torch.cat(list(candidate)).double()
    gap = (ours - theirs).abs()
    scale = float(ours.abs().max())
    first, second = ours.log_softmax(-1), theirs.log_softmax(-1)
    agreement = (ours.argmax(-1) == theirs.argmax(-1)).double().mean()
    return LogitComparison(
        max_difference=float(gap.max()),
        mean_difference=float(gap.mean()),
        scale=scale,
        relative=float(gap.max()) / scale if scale else float(gap.max()),
        kl_nats=float((first.exp() * (first - second)).sum(-1).mean()),
        top1_agreement=float(agreement),
        positions=ours.shape[0],
    )


def compare_logits(
    reference: Any, candidate: Any, prompts_ids: Sequence[Sequence[int]]
) -> LogitComparison:
    """Compare two loaded models on prompts of token ids; both must be in evaluation mode."""
    return compare(logits_of(reference, prompts_ids), logits_of(candidate, prompts_ids))

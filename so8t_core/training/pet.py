"""PET: hidden states that do not jump from token to token, an optional term of the loss.

For three neighbouring tokens of one sample the second difference of the last hidden states,
h[t-1] - 2 h[t] + h[t+1], is what a straight course would make zero. The term is the mean of its
square over the width and over all such triples of an optimiser step, times a weight that rises over
the run in three phases.
"""

# torch annotates hooks only in part
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from so8t_core.training.encoding import Encoded

MIDDLES = "triple_middles"
"""Key of a batch: bool (rows, longest), true at the middle of each triple within a sample."""
PHASES = ((0.2, 0.1), (0.6, 0.5), (1.0, 1.0))
"""Up to which share of all steps which share of the weight counts; after the first attempt's 0.01,
0.05 and 0.1."""


def phase_share(step: int, steps: int) -> float:
    """The share of the weight that counts in the step after `step` finished ones of `steps`."""
    return next(share for until, share in PHASES if step < until * steps or until == 1.0)


@dataclass(frozen=True)
class MarkingCollator:
    """A collator whose batches also say where three neighbouring tokens belong to one sample."""

    inner: Callable[[Any], dict[str, Tensor]]

    def __call__(self, rows: Sequence[Encoded | tuple[Encoded, ...]]) -> dict[str, Tensor]:
        """The inner collator's batch and `MIDDLES`; padding and fill belong to no sample."""
        batch = self.inner(rows)
        middles = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
        for number, row in enumerate(rows):
            at = 0
            for sample in (row,) if isinstance(row, Encoded) else row:
                end = at + len(sample.ids)
                middles[number, at + 1 : end - 1] = True
                at = end
        return {**batch, MIDDLES: middles}


def squared_second_differences(hidden: Tensor, middles: Tensor) -> Tensor:
    """Sum over the marked triples of the mean square over the width: float32 ().

    `hidden`: (rows, tokens, width) of any floating dtype; `middles`: bool (rows, tokens).
    """
    inside = hidden.float()
    bends = inside[:, :-2] - 2.0 * inside[:, 1:-1] + inside[:, 2:]  # (rows, tokens - 2, width)
    return torch.where(middles[:, 1:-1], bends.square().mean(-1), 0.0).sum()


class PetTerm:
    """The term over the micro-batches of a step; it looks at what the last norm gives out.

    Call `begin` before a step's first micro-batch, `take` with each batch before the model sees it,
    and `add` after the model's forward pass.
    """

    def __init__(self, norm: nn.Module, weight: float, steps: int) -> None:
        self._weight = weight
        self._steps = steps
        self._middles: Tensor | None = None
        self._hidden: Tensor | None = None
        self._triples = 1.0
        self._now = 0.0
        self._sum: Tensor | float = 0.0
        norm.register_forward_hook(self._look)

    def _look(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if self._middles is not None:
            self._hidden = output

    def count(
        self,
        batches: Sequence[Mapping[str, Tensor]],
        gather: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        """Learn how many triples the step's micro-batches have, on all ranks together.

        `gather` brings the ranks' numbers together.
        """
        own = torch.stack([batch[MIDDLES].sum() for batch in batches]).sum().to(device)
        self._triples = float(max(int(gather(own).sum()), 1))

    def begin(self, step: int) -> None:
        """Before the first micro-batch after `step` finished steps."""
        self._middles = self._hidden = None  # of a pass that did not come to its end
        self._now = self._weight * phase_share(step, self._steps)
        self._sum = 0.0

    def take(self, batch: dict[str, Any]) -> None:
        """Take the marks out of a batch, which the model knows nothing of."""
        self._middles = batch.pop(MIDDLES)

    def add(self, loss: Tensor, ranks: int) -> Tensor:
        """The loss with the micro-batch's part of the term.

        Parts of a step's micro-batches add up to the mean over its triples. `ranks`: gradients are
        averaged over so many afterwards.
        """
        middles, hidden = self._middles, self._hidden
        self._middles = self._hidden = None
        assert middles is not None
        assert hidden is not None
        part = squared_second_differences(hidden, middles.to(hidden.device)) / self._triples
        self._sum = self._sum + part.detach()
        return loss + self._now * ranks * part

    def measured(self, total: Callable[[float], float]) -> dict[str, float]:
        """The step's unweighted term and the weight that it had; `total` sums over the ranks."""
        return {"pet": total(float(self._sum)), "pet_weight": self._now}

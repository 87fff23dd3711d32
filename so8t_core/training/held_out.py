"""The loss on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from so8t_core.training.dataset import IGNORED, PaddingCollator, SampleSet
from so8t_core.training.memory import first_line


def held_out_loss(
    loss_of: Callable[[Mapping[str, Tensor]], Tensor],
    samples: SampleSet,
    padding: PaddingCollator,
    rows: int,
    point: Callable[[], None],
) -> tuple[float, int] | str:
    """Mean cross-entropy in nats over all targets, and their count; or why memory ran out.

    `loss_of` gives the mean over the targets of a batch of at most `rows` samples; `point` is
    called before each.
    """
    total, targets = 0.0, 0
    try:
        for start in range(0, len(samples), rows):
            point()
            last = min(start + rows, len(samples))
            batch = padding([samples[index] for index in range(start, last)])
            batch.pop("tokens")
            count = int((batch["labels"][:, 1:] != IGNORED).sum())
            total += loss_of(batch).item() * count
            targets += count
    except torch.OutOfMemoryError as error:
        return first_line(error)
    return total / targets, targets

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from so8t_core.training.dataset import IGNORED, PaddingCollator, SampleSet
from so8t_core.training.encoding import Encoded
from so8t_core.training.held_out import held_out_loss


def test_the_held_out_loss_is_the_mean_over_every_target() -> None:
    """Whatever the rows of a pass, and however many targets each row has."""
    drawn = np.random.default_rng(3)
    lengths, table = (3, 9, 5, 7, 4), torch.from_numpy(drawn.normal(size=(20, 20)))
    samples = [
        Encoded(drawn.integers(1, 20, n).tolist(), [at >= n // 2 for at in range(n)])
        for n in lengths
    ]

    def loss_of(batch: Any) -> torch.Tensor:
        logits, labels = table[batch["input_ids"][:, :-1]], batch["labels"][:, 1:]
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    single = [
        -torch.log_softmax(table[before], 0)[token].item()
        for sample in samples
        for before, token, learnt in zip(
            sample.ids[:-1], sample.ids[1:], sample.learnt[1:], strict=True
        )
        if learnt
    ]
    for rows in (1, 2, 5, 8):
        measured = held_out_loss(
            loss_of, SampleSet(samples), PaddingCollator(0), rows, lambda: None
        )
        assert measured == (pytest.approx(np.mean(single), rel=1e-12), len(single))

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from so8t_core.model.gate_checks import randomise
from so8t_core.model.loading import load_gated
from so8t_core.phases.base import HardPause
from so8t_core.training.dataset import IGNORED, PaddingCollator, SampleSet
from so8t_core.training.encoding import Encoded
from so8t_core.training.fused_phi3 import fuse_phi3
from so8t_core.training.packed_attention import bounds_of, ends_of
from so8t_core.training.packing import PackedSet, PackingCollator, pack
from tests.training.trial import PlannedGate, context, said, train


def drawn(*lengths: int, seed: int = 0) -> list[Encoded]:
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for length in lengths:
        ids = torch.randint(5, 500, (length,), generator=generator).tolist()
        learnt = (torch.rand(length, generator=generator) < 0.7).tolist()
        samples.append(Encoded(ids, learnt))
    return samples


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 64))
def test_every_sample_is_in_one_row_and_no_row_is_too_long(
    lengths: list[int], capacity: int
) -> None:
    rows = pack(lengths, capacity)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= capacity for row in rows)
    assert rows == pack(lengths, capacity)
    fewest = -(-sum(lengths) // capacity)
    assert len(rows) <= max(2 * fewest - 1, 0)


def test_samples_that_fill_rows_exactly_fill_them() -> None:
    assert pack([6, 4, 7, 3, 5, 5], 10) == [[2, 3], [0, 1], [4, 5]]


def test_a_sample_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="sample 1 has 11 tokens"):
        pack([3, 11], 10)


def test_positions_restart_and_neither_first_tokens_nor_fillings_are_learnt() -> None:
    row = (Encoded([1, 2, 3], [True, True, True]), Encoded([4, 5], [True, True]))
    batch = PackingCollator(pad_id=9)([row, (Encoded([6] * 7, [True] * 7),)])
    assert batch["input_ids"][0].tolist() == [1, 2, 3, 4, 5, 9, 9]
    assert batch["position_ids"][0].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert batch["labels"][0].tolist() == [IGNORED, 2, 3, IGNORED, 5, IGNORED, IGNORED]
    assert batch["tokens"] == 12


def summed(model: Any, batch: dict[str, Tensor]) -> Tensor:
    inputs = {name: value for name, value in batch.items() if name != "tokens"}
    loss: Tensor = model(**inputs, num_items_in_batch=torch.tensor(1), use_cache=False).loss
    return loss


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_losses_and_gradients_are_those_of_the_samples_alone(
    model: Path, attention: str
) -> None:
    gated = load_gated(model, dtype=torch.float32, attn_implementation=attention)
    randomise(gated, spread=0.3, seed=1)
    thetas = [value for name, value in gated.named_parameters() if name.endswith("theta")]
    samples = drawn(7, 12, 3, 20, 9, 15)
    packed = PackedSet(SampleSet(samples), capacity=32)
    assert len(packed) == 3
    rows = PackingCollator(0)([packed[index] for index in range(len(packed))])
    alone = summed(gated, PaddingCollator(0)(samples))
    together = summed(gated, rows)
    assert torch.allclose(alone, together, rtol=1e-6)
    for one, other in zip(
        torch.autograd.grad(alone, thetas), torch.autograd.grad(together, thetas), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_attention_that_is_told_ends_is_attention_under_the_mask(model: Path) -> None:
    gated = load_gated(model, dtype=torch.float32)
    randomise(gated, spread=0.3, seed=1)
    thetas = [value for name, value in gated.named_parameters() if name.endswith("theta")]
    packed = PackedSet(SampleSet(drawn(7, 12, 3, 20, 9, 15)), capacity=32)
    rows = [packed[index] for index in range(len(packed))]
    told = PackingCollator(0, tells_ends=True)(rows)
    assert (told["sample_ends"][:, -1] == told["input_ids"].shape[1]).all()
    assert fuse_phi3(gated) > 0
    masked, ended = summed(gated, PackingCollator(0)(rows)), summed(gated, told)
    assert torch.allclose(masked, ended, rtol=1e-6)
    for one, other in zip(
        torch.autograd.grad(masked, thetas), torch.autograd.grad(ended, thetas), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
    parts = [
        summed(
            gated, {name: value[at : at + 1] for name, value in told.items() if name != "tokens"}
        )
        for at in range(len(rows))
    ]
    assert torch.allclose(torch.stack(parts).sum(), ended, rtol=1e-5)


def test_ends_fill_rows_up_and_bound_every_sequence() -> None:
    ends = ends_of([[3, 4], [7], [2]], 7)
    assert ends.tolist() == [[3, 7], [7, 7], [2, 7]]
    assert bounds_of(ends, 7).tolist() == [0, 3, 7, 14, 14, 16, 21]


def test_no_token_sees_another_sample(model: Path) -> None:
    gated = load_gated(model, dtype=torch.float32)
    fixed, first, second = drawn(11)[0], drawn(9, seed=1)[0], drawn(9, seed=2)[0]
    logits = []
    for other in (first, second):
        batch = PackingCollator(0)([(other, fixed)])
        with torch.inference_mode():
            output = gated(
                input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
            )
        logits.append(output.logits[0, 9:])
    assert torch.equal(logits[0], logits[1])


def test_a_packed_training_counts_rows_and_resumes_to_the_bit(
    new_run: Callable[[str], Path],
) -> None:
    straight = train(context(new_run("straight"), packing=True))
    assert straight.figures["packed_rows"] < straight.figures["samples"]
    assert 0.5 < straight.figures["packed_rows_filled"] <= 1.0
    root = new_run("paused")
    for pause_at in (5, 9):
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=pause_at), packing=True))
    assert train(context(root, packing=True)).digest == straight.digest
    joined = {"packing": True, "fused": "on"}
    masked = train(context(new_run("masked"), **joined)).figures["final_loss"]
    told = train(context(new_run("told"), packed_attention="ends", **joined)).figures["final_loss"]
    assert told == pytest.approx(masked, rel=1e-3)
    plain = context(new_run("plain"), packing=True, packed_attention="ends")
    assert train(plain).digest == straight.digest
    assert any("packed samples apart" in told["what"] for told in said(plain, "fallback"))
    assert train(context(new_run("padded"))).digest != straight.digest

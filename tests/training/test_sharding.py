"""The base shared out among ranks: two processes on CPU, joined by gloo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.footprint import Load, Means, ModelShape, estimate
from so8t_core.training.sharding import require_shardable
from tests.training.trial import context, train
from tests.training.two_processes import torchrun_two

CPU = torch.device("cpu")


@pytest.mark.parametrize("storage", ["nf4", "bf16"])
def test_each_rank_keeps_half_and_computes_the_same_bits(
    tmp_path: Path, model: Path, storage: str
) -> None:
    torchrun_two("tests.training.sharding_trial", str(model), str(tmp_path), storage)
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["same_loss"]
        assert found["same_gradients"]
        assert found["gradients"] == [36, 36]
        assert found["own_bytes"] * 2 == found["whole_bytes"] > 0
        assert found["trained_whole"]
        assert found["floating"]  # torch below 2.13 can share out nothing else


def test_int8_cannot_be_sharded() -> None:
    with pytest.raises(ValidationError, match="cannot shard a base stored as int8"):
        TrainSettings(parallel="fsdp", base_storage="int8")


def test_nf4_needs_the_joined_operations() -> None:
    asked = TrainSettings(parallel="fsdp", base_storage="nf4", fused="off")
    with pytest.raises(ResourceError, match="joined operations only"):
        require_shardable(asked, CPU)
    require_shardable(asked.model_copy(update={"fused": "on"}), CPU)
    require_shardable(asked.model_copy(update={"base_storage": "bf16"}), CPU)


def test_alone_there_is_nothing_to_share(new_run: Callable[[str], Path]) -> None:
    settings = {"base_storage": "float32", "max_steps": 2}
    one, other = new_run("one"), new_run("other")
    digest = train(context(one, **settings)).digest
    assert train(context(other, parallel="fsdp", **settings)).digest == digest


def test_the_estimate_counts_a_part_of_the_base_and_what_is_gathered(model: Path) -> None:
    shape = ModelShape.of_folder(model)
    settings = TrainSettings(base_storage="float32")
    stock = Means(element=4, liger=False, fused=False)
    one, four = (
        estimate(shape, settings, stock, Load(1, 8, (True,) * 4, shards=shards)).parts
        for shards in (1, 4)
    )
    layer = 4 * sum(out * inside for out, inside in shape.linears.values())
    assert one["gathered"] == 0
    assert four["gathered"] == 3 * layer
    assert one["base"] - four["base"] == shape.layers * layer * 3 // 4

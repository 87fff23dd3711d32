"""LongRoPE: what a sample's losses are does not depend on what is beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from so8t_core.contract.errors import ModelError
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TPhi3ForCausalLM
from so8t_core.phases import train as phase
from so8t_core.training.dataset import PaddingCollator
from so8t_core.training.encoding import Encoded
from so8t_core.training.long_positions import choose_by_sample, chosen_by_sample, lengths_of
from so8t_core.training.packing import PackingCollator
from tests.training.trial import context, train

FIRST = 16
SHORT, LONG = list(range(2, 12)), list(range(3, 33))


def longrope(kind: str = "longrope") -> Any:
    torch.manual_seed(0)
    size = 8
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": 10000.0}
    if kind == "longrope":
        rope |= {
            "short_factor": [1.0] * (size // 2),
            "long_factor": [1.5 + n for n in range(size // 2)],
            "original_max_position_embeddings": FIRST,
        }
    return SO8TPhi3ForCausalLM(
        SO8TPhi3Config(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            original_max_position_embeddings=FIRST,
            rope_parameters=rope,
            pad_token_id=0,
            eos_token_id=1,
        )
    ).eval()


def sample(ids: list[int]) -> Encoded:
    return Encoded(ids, [True] * len(ids))


def logits_of(model: Any, batch: dict[str, Tensor]) -> Tensor:
    given = {name: tensor for name, tensor in batch.items() if name not in ("labels", "tokens")}
    with torch.no_grad():
        found: Tensor = model(**given, use_cache=False).logits
    return found


def test_samples_have_the_logits_that_they_have_alone() -> None:
    model = longrope()
    alone = [
        logits_of(model, {"input_ids": torch.tensor([ids])})[0] for ids in (SHORT, LONG, SHORT)
    ]
    padding = PaddingCollator(0)
    padded = padding([sample(SHORT), sample(LONG)])
    stock = logits_of(model, padded)[0, : len(SHORT)]
    assert (stock - alone[0]).abs().max() > 1e-3  # why this module is there
    assert choose_by_sample(model, len(LONG))
    assert chosen_by_sample(model)
    for ids, expected in zip((SHORT, LONG), alone, strict=False):
        torch.testing.assert_close(
            logits_of(model, {"input_ids": torch.tensor([ids])})[0], expected
        )
    padded = PaddingCollator(0, positions=True)([sample(SHORT), sample(LONG)])
    assert padded["position_ids"][0].tolist() == [*range(len(SHORT)), *[0] * 20]
    found = logits_of(model, padded)
    torch.testing.assert_close(found[0, : len(SHORT)], alone[0])
    torch.testing.assert_close(found[1], alone[1])
    packed = PackingCollator(0, False)([[sample(SHORT), sample(LONG), sample(SHORT)]])
    row, at = logits_of(model, packed)[0], 0
    for expected in alone:
        torch.testing.assert_close(row[at : at + len(expected)], expected)
        at += len(expected)


def test_with_a_cache_the_text_so_far_decides() -> None:
    stock, ours = longrope(), longrope()
    assert choose_by_sample(ours, 40)
    ids = torch.tensor([SHORT])
    asked = {"max_new_tokens": 3, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    assert torch.equal(stock.generate(ids, **asked), ours.generate(ids, **asked))


def test_nothing_changes_where_no_sample_is_that_long() -> None:
    model = longrope()
    assert not choose_by_sample(model, FIRST)
    assert not choose_by_sample(longrope("default"), 64)
    assert not chosen_by_sample(model)


def test_a_sample_ends_where_positions_do_not_go_on() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 0], [5, 6, 7, 8, 9, 10, 11]])
    assert lengths_of(positions).tolist() == [[3, 3, 3, 2, 2, 1, 1], [12] * 7]


def test_samples_beyond_the_model_s_positions_are_refused_before_it_loads(
    new_run: Callable[[str], Path], model: Path, tmp_path: Path
) -> None:
    short = shutil.copytree(model, tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 20}))
    with pytest.raises(ModelError, match="positions for 20") as raised:
        train(context(new_run("one"), model_path=short, max_steps=2))
    assert raised.value.where == "train.max_length_tokens"


def test_held_out_samples_count_among_the_longest(
    new_run: Callable[[str], Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the model's positions they are refused; unpacked, the estimate is made for them."""
    places = {}
    for name, times in (("dataset", 1), ("validation_dataset", 9)):
        row = {"prompt": "首都は", "completion": "東京です。" * times}
        places[name] = tmp_path / f"{name}.jsonl"
        places[name].write_text(json.dumps(row) + "\n")
    settings = {**places, "max_length_tokens": 200, "max_steps": 1}
    lengths: list[int] = []

    def settling(*_: Any, length: int, **__: Any) -> Any:
        lengths.append(length)
        raise ModelError("enough")

    monkeypatch.setattr(phase, "settle", settling)
    with pytest.raises(ModelError, match="enough"):
        train(context(new_run("one"), **settings))
    with pytest.raises(ModelError, match="enough"):
        train(context(new_run("packed"), packing=True, **settings))
    longest, packed = lengths
    assert 45 < longest < packed == 200
    short = shutil.copytree(model, tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(
        json.dumps(config | {"max_position_embeddings": longest - 1})
    )
    with pytest.raises(ModelError, match=f"longest sample held out has {longest} tokens"):
        train(context(new_run("two"), model_path=short, **settings))

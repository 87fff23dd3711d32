"""Likelihood and generation against independent ways to the same numbers."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.evaluation.generation import answer_greedily
from so8t_core.evaluation.items import ScoredText
from so8t_core.evaluation.likelihood import bits_of, weigh
from so8t_core.evaluation.models import FrozenRotation, load_tuned
from so8t_core.evaluation.readers import TorchReader
from so8t_core.model.loading import load_base, load_tokenizer
from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate

IDS = (0, 300, 17, 42, 401, 5, 77, 260)
SCORED = (False, False, True, True, False, True, True, True)


@pytest.fixture(scope="module")
def base(trained: Path):
    return load_base(trained / "base", dtype=torch.float32)


def test_bits_are_minus_log2_of_the_product_of_probabilities(base):
    text = ScoredText("t", "g", "document", IDS, SCORED, 20)
    expected = 0.0
    with torch.no_grad():
        for position in range(1, len(IDS)):
            if SCORED[position]:
                logits = base(torch.tensor([IDS[:position]])).logits[0, -1].double()
                expected -= math.log2(float(logits.softmax(-1)[IDS[position]]))
    assert bits_of(TorchReader(base), text) == pytest.approx(expected, rel=1e-5)


BEFORE, CONTEXT = (0, 300, 17), (42, 401)
BRANCHES: tuple[tuple[int, ...], ...] = ((5, 77, 260), (), (5,), (12, 12, 12, 9))


@pytest.mark.parametrize("before", [BEFORE, ()], ids=["after examples", "from nothing"])
@pytest.mark.parametrize("tuned", [False, True], ids=["base", "tuned"])
def test_branches_read_at_once_give_the_logits_of_each_read_alone(
    base, trained: Path, before: tuple[int, ...], tuned: bool
):
    folders = (trained / "integrate" / "checkpoint", trained / "train" / "adapter")
    model = load_tuned(*folders, "cpu", torch.float32) if tuned else base
    reader = TorchReader(model)
    if before:
        reader.read(before)
    first = reader.branch(CONTEXT, BRANCHES)
    for branch, logits in zip(BRANCHES, first, strict=True):
        with torch.inference_mode():
            alone = model(torch.tensor([[*before, *CONTEXT, *branch]])).logits[0]
        torch.testing.assert_close(logits, alone[-1 - len(branch) :], atol=2e-5, rtol=0)
    again = reader.branch(CONTEXT, BRANCHES)  # nothing of the first was left behind
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


@pytest.mark.parametrize("window", [3, 4, 7, 50])
def test_a_sliding_window_is_that_of_the_model_itself(
    trained: Path, window: int, monkeypatch: pytest.MonkeyPatch
):
    model = load_base(trained / "base", dtype=torch.float32)
    monkeypatch.setattr(model.config, "sliding_window", window)
    reader = TorchReader(model)
    reader.read((*BEFORE, 12, 13, 14))
    reader.cut(len(BEFORE))
    for branch, logits in zip(BRANCHES, reader.branch(CONTEXT, BRANCHES), strict=True):
        with torch.inference_mode():
            alone = model(torch.tensor([[*BEFORE, *CONTEXT, *branch]])).logits[0]
        torch.testing.assert_close(logits, alone[-1 - len(branch) :], atol=2e-5, rtol=0)


def test_a_choice_weighs_what_its_tokens_weigh_one_by_one(base):
    choices = [[5, 77, 260], [9], [5, 78]]
    reader = TorchReader(base)
    reader.read(BEFORE)
    for choice, found in zip(choices, weigh(reader, CONTEXT, choices), strict=True):
        expected, greedy = 0.0, True
        for place, token in enumerate(choice):
            ids = torch.tensor([[*BEFORE, *CONTEXT, *choice[:place]]])
            with torch.no_grad():
                likely = base(ids).logits[0, -1].double().log_softmax(-1)
            expected += float(likely[token])
            greedy = greedy and int(likely.argmax()) == token
        assert found.logprob == pytest.approx(expected, abs=1e-4)
        assert found.greedy == greedy


def test_answers_are_those_of_the_librarys_greedy_search(base, trained: Path):
    expected = base.generate(
        torch.tensor([IDS]),
        attention_mask=torch.ones(1, len(IDS), dtype=torch.long),
        max_new_tokens=12,
        do_sample=False,
    )
    reader = TorchReader(base)
    ends = reader.end_ids
    steps = []
    answer = answer_greedily(
        reader, IDS, end_ids=ends, max_new_tokens=12, step=lambda: steps.append(1)
    )
    generated = expected[0, len(IDS) :].tolist()
    assert list(answer.ids) == [token for token in generated if token not in ends]
    assert answer.ended == (generated[-1] in ends)
    assert len(steps) == len(generated)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_computes_no_numbers_is_named_and_never_compared(trained: Path, value: float):
    model = load_base(trained / "base", dtype=torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3, 5] = value
    with pytest.raises(ModelError, match="The model is broken"):
        bits_of(TorchReader(model), ScoredText("t", "g", "document", IDS, SCORED, 20))
    with pytest.raises(ModelError, match="The model is broken"):
        answer_greedily(
            TorchReader(model), IDS, end_ids=frozenset(), max_new_tokens=3, step=lambda: None
        )
    with pytest.raises(ModelError, match="The model is broken"):
        weigh(TorchReader(model), CONTEXT, [(5, 77)])


def test_an_answer_ends_at_any_end_token_without_containing_it(base):
    first = answer_greedily(
        TorchReader(base), IDS, end_ids=frozenset(), max_new_tokens=3, step=lambda: None
    )
    assert not first.ended
    stopped = answer_greedily(
        TorchReader(base),
        IDS,
        end_ids=frozenset({first.ids[1]}),
        max_new_tokens=3,
        step=lambda: None,
    )
    assert stopped.ended
    assert stopped.ids == first.ids[: first.ids.index(first.ids[1])]


def test_every_end_that_the_configurations_name_is_heard(base, trained: Path):
    tokenizer = load_tokenizer(trained / "base")
    assert TorchReader(base).end_ids == {0, tokenizer.convert_tokens_to_ids("<|end|>")}


def test_frozen_rotations_change_no_logit(trained: Path, monkeypatch: pytest.MonkeyPatch):
    folders = (trained / "integrate" / "checkpoint", trained / "train" / "adapter")
    frozen = load_tuned(*folders, "cpu", torch.float32)
    monkeypatch.setattr("so8t_core.evaluation.models.freeze_rotations", lambda model: 0)
    live = load_tuned(*folders, "cpu", torch.float32)
    kinds = [{type(module) for module in model.modules()} for model in (frozen, live)]
    assert FrozenRotation in kinds[0]
    assert SO8TRotationGate not in kinds[0]
    assert SO8TRotationGate in kinds[1]
    with torch.inference_mode():
        logits = [model(torch.tensor([IDS])).logits for model in (frozen, live)]
    assert torch.equal(logits[0], logits[1])


def test_the_tuned_model_is_the_trained_one(trained: Path, base):
    tuned = load_tuned(
        trained / "integrate" / "checkpoint", trained / "train" / "adapter", "cpu", torch.float32
    )
    text = ScoredText("t", "g", "document", IDS, SCORED, 20)
    assert abs(bits_of(TorchReader(tuned), text) - bits_of(TorchReader(base), text)) > 0.1


def test_an_adapter_of_another_base_is_named(trained: Path, tmp_path: Path):
    adapter = tmp_path / "adapter"
    shutil.copytree(trained / "train" / "adapter", adapter)
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if "qkv_proj.lora_B" in name)
    save_file({**weights, name: torch.zeros(8, weights[name].shape[1])}, file)
    (adapter / "training.json").unlink()  # somebody else's, who notes nothing
    with pytest.raises(ModelError, match="in the adapter and"):
        load_tuned(trained / "integrate" / "checkpoint", adapter, "cpu", torch.float32)


def test_no_adapter_is_no_tuned_model(trained: Path, tmp_path: Path):
    with pytest.raises(InputMissing, match="no trained adapter"):
        load_tuned(trained / "integrate" / "checkpoint", tmp_path, "cpu", torch.float32)

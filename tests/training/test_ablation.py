"""The ablation's replicas are the trainings that they stand for, and its grid is tuned fairly."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, OFTConfig, get_peft_model
from torch.nn import functional
from transformers import Phi3Config, Phi3ForCausalLM

from benchmarks.ablation import InThisProcess
from benchmarks.ablation_corpus import Corpus, divide, passages
from benchmarks.ablation_grid import LARGEST_GROUP, METHODS, SEEDS, START, Grid, Schedule, groups
from benchmarks.ablation_replicas import EVERY_LINEAR, LORA_SCALE, Layout, Replicas
from benchmarks.ablation_tables import Results, sections
from benchmarks.ablation_training import Cell, Group, Scale, judged_rows, run_group
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TPhi3ForCausalLM

# peft 0.21 asks transformers by the older of two names
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "initializer_range": 0.2,
}
SMALL = Scale(
    rows=2,
    length=16,
    steps=6,
    few_steps=4,
    rows_in_flight=4,
    judged_rows=(("validation", 2), ("test", 2), ("english_technical", 2), ("english_prose", 2)),
)


@pytest.fixture
def base():
    torch.manual_seed(0)
    return Phi3ForCausalLM(Phi3Config(**SHAPE)).eval()


@pytest.fixture
def corpus():
    random = np.random.default_rng(0)
    lengths = random.integers(5, 30, 20)
    return Corpus(
        random.integers(1, 64, lengths.sum()).astype(np.uint16),
        np.concatenate([[0], np.cumsum(lengths)]),
        {name: random.integers(1, 64, 70).astype(np.uint16) for name, _ in SMALL.judged_rows},
        np.ones(64, np.uint8),
    )


def rows(count):
    return torch.randint(1, 64, (count, 12), generator=torch.Generator().manual_seed(5))


def loss_of(model, ids):
    logits = model(input_ids=ids).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")


def stirred(replicas):
    """Adapters away from their start, the same every time."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for k in range(replicas.count):
            for parameter in replicas.own(k):
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def test_each_replica_of_lora_is_peft_s_lora(base):
    replicas = Replicas(base, Layout(lora_rank=3), (1, 2))
    stirred(replicas)
    ids = rows(4)
    found = replicas.losses(ids)
    found.sum().backward()
    kept = [[(p.detach().clone(), p.grad.clone()) for p in replicas.own(k)] for k in (0, 1)]
    replicas.remove()
    config = LoraConfig(r=3, lora_alpha=3 * LORA_SCALE, target_modules=list(EVERY_LINEAR))
    peft = get_peft_model(base, config)
    named = {n: p for n, p in peft.named_parameters() if p.requires_grad}
    order = [
        f"base_model.model.model.layers.{layer}.{part}.lora_{side}.default.weight"
        for layer in (0, 1)
        for part in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
        for side in "AB"
    ]
    for k in (0, 1):
        peft.zero_grad()
        for name, (value, _) in zip(order, kept[k], strict=True):
            named[name].data.copy_(value.squeeze(0))
        alone = loss_of(peft, ids[2 * k : 2 * k + 2])
        alone.backward()
        torch.testing.assert_close(found[k], alone)
        for name, (_, gradient) in zip(order, kept[k], strict=True):
            torch.testing.assert_close(named[name].grad, gradient.squeeze(0))


def test_each_replica_of_oft_is_peft_s_oft(base):
    replicas = Replicas(base, Layout(oft=True), (1, 2))
    stirred(replicas)
    ids = rows(4)
    found = replicas.losses(ids)
    found.sum().backward()
    kept = [[(p.detach().clone(), p.grad.clone()) for p in replicas.own(k)] for k in (0, 1)]
    replicas.remove()
    config = OFTConfig(r=0, oft_block_size=8, target_modules=list(EVERY_LINEAR))
    peft = get_peft_model(base, config)
    trained = [p for p in peft.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == sum(value.numel() for value, _ in kept[0])
    by_name = dict(peft.named_parameters())
    order = [
        f"base_model.model.model.layers.{layer}.{part}.oft_R.default.weight"
        for layer in (0, 1)
        for part in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
    ]
    for k in (0, 1):
        peft.zero_grad()
        for name, (value, _) in zip(order, kept[k], strict=True):
            by_name[name].data.copy_(value)
        alone = loss_of(peft, ids[2 * k : 2 * k + 2])
        alone.backward()
        torch.testing.assert_close(found[k], alone)
        for name, (_, gradient) in zip(order, kept[k], strict=True):
            torch.testing.assert_close(by_name[name].grad, gradient)


def test_each_replica_of_gates_is_the_gated_model(base):
    gated = SO8TPhi3ForCausalLM(SO8TPhi3Config(**SHAPE)).eval()
    gated.load_state_dict(base.state_dict(), strict=False)
    replicas = Replicas(base, Layout(gates=("o_proj",)), (1, 2))
    stirred(replicas)
    ids = rows(4)
    replicas.bank.open()
    found = replicas.losses(ids)
    found.sum().backward()
    replicas.bank.send_back()
    for k in (0, 1):
        gated.zero_grad()
        for layer, theta in zip(gated.model.layers, replicas.thetas(k), strict=True):
            layer.self_attn.rotation_gate.theta.data.copy_(theta)
        alone = loss_of(gated, ids[2 * k : 2 * k + 2])
        alone.backward()
        torch.testing.assert_close(found[k], alone)
        for layer, theta in zip(gated.model.layers, replicas.thetas(k), strict=True):
            torch.testing.assert_close(layer.self_attn.rotation_gate.theta.grad, theta.grad)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_replica_learns_as_if_alone(base, corpus, method):
    layout = replace(METHODS[method], lora_rank=min(METHODS[method].lora_rank, 3))
    rates = (1e-2 if layout.lora_rank or layout.oft else 0.0, 2e-2 if layout.gates else 0.0)
    cells = [Cell("a", method, "judge", layout, seed, *rates, SMALL.steps) for seed in (1, 2)]
    judged = judged_rows(corpus, SMALL)
    before = loss_of(base, rows(2)).item()
    together = run_group(base, corpus, judged, cells, SMALL, time.time() + 600)
    for cell, found in zip(cells, together, strict=True):
        [alone] = run_group(base, corpus, judged, [cell], SMALL, time.time() + 600)
        for one, other in zip(found["points"], alone["points"], strict=True):
            assert one == pytest.approx(other, rel=1e-4)
        assert found["points"][0]["test"] != pytest.approx(found["points"][-1]["test"], rel=1e-4)
    assert together[0]["points"] != together[1]["points"]
    assert loss_of(base, rows(2)).item() == before  # the base is left as it was


def test_replicas_do_not_disturb_one_another_when_one_diverges(base, corpus):
    good = Cell("a", "LoRA", "tune", Layout(lora_rank=2), 0, 1e-2, 0.0, SMALL.steps)
    judged = judged_rows(corpus, SMALL)
    [alone] = run_group(base, corpus, judged, [good], SMALL, time.time() + 600)
    cells = [good, replace(good, rate=1e30)]
    beside, lost = run_group(base, corpus, judged, cells, SMALL, time.time() + 600)
    assert beside["points"][0] == pytest.approx(alone["points"][0], rel=1e-4)
    assert lost["points"][0]["validation"] is None


def test_a_group_that_comes_too_late_gives_nothing_and_leaves_the_base(base, corpus):
    cell = Cell("a", "LoRA", "tune", Layout(lora_rank=2), 0, 1e-2, 0.0, SMALL.steps)
    assert run_group(base, corpus, judged_rows(corpus, SMALL), [cell], SMALL, 0.0) == []
    assert type(base.model.layers[0].self_attn.o_proj) is torch.nn.Linear


def test_few_documents_are_seen_again_and_others_never(corpus):
    found = corpus.training_rows(30, 16, seed=3, documents=2)
    drawn = np.random.default_rng([3, 0]).permutation(20)[:2]
    allowed = np.concatenate([corpus.train[corpus.bounds[i] : corpus.bounds[i + 1]] for i in drawn])
    assert set(found.flatten().tolist()) <= set(allowed.tolist())
    assert np.array_equal(found, corpus.training_rows(30, 16, seed=3, documents=2))


def test_no_long_line_of_a_training_page_is_judged():
    shared = "どのページにも載っている、二十文字より長い決まり文句です。"
    pages = [
        f"{shared}\n{number}番目のページだけにある、二十文字より長い文です。"
        for number in range(60)
    ]
    train, validation, test = divide(pages)
    assert all((train, validation, test))
    assert shared in "".join(train)
    assert shared not in "".join(validation + test)


def test_passages_are_whole_lines():
    page = "\n".join(["あ" * 300, "い" * 300, "う" * 300, "え" * 900])
    assert [len(text) for text in passages(page)] == [601, 300, 900]


def result_of(cell, value):
    scores = {"validation": value, "test": value, "english_technical": 1.0, "english_prose": 1.1}
    return {
        **asdict(cell),
        "parameters": 10,
        "points": [{"step": step, **scores} for step in cell.points],
        "rotation_angle_mean": 0.5 if cell.layout.gates else None,
        "device": "cpu",
        "group_s": 0.0,
        "group_cells": 1,
    }


def pretend(cells, _deadline):
    """A training whose best rate lies far above those that are tried first."""
    return [
        result_of(c, 2.0 - (c.rate or c.gate_rate) + c.seed / 100 + (c.documents is not None))
        for c in cells
    ]


def schedule(path, earlier=(), deadline=None, call=pretend):
    made = Schedule(Grid(SMALL), path, list(earlier), deadline or time.time() + 600)
    made.run(InThisProcess(), 1, call)
    return made


def test_every_method_is_tuned_before_it_is_judged_and_beyond_an_edge(tmp_path):
    assert not schedule(tmp_path / "r.jsonl").cut
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    for name in START:
        tuned = [line for line in lines if line["name"] == name and line["role"] == "tune"]
        judged = [line for line in lines if line["name"] == name and line["part"] == "a"]
        judged = [line for line in judged if line["role"] == "judge"]
        assert [line["seed"] for line in judged] == list(SEEDS)
        highest = max(line["rate"] or line["gate_rate"] for line in tuned)
        assert highest == pytest.approx(START[name][-1] * 2**4)  # twice two more
        assert {line["rate"] or line["gate_rate"] for line in judged} == {highest}
        assert lines.index(judged[0]) > max(map(lines.index, tuned))
    assert {line["documents"] for line in lines if line["part"] == "c"} == {10, 100, 1000}


def test_an_earlier_run_is_not_repeated_and_a_cut_one_can_be_continued(tmp_path):
    schedule(tmp_path / "whole.jsonl")
    whole = [json.loads(line) for line in (tmp_path / "whole.jsonl").read_text().splitlines()]
    schedule(tmp_path / "rest.jsonl", whole[:40])
    rest = [json.loads(line) for line in (tmp_path / "rest.jsonl").read_text().splitlines()]
    key = lambda line: json.dumps(line, sort_keys=True)  # noqa: E731
    assert sorted(map(key, whole[:40] + rest)) == sorted(map(key, whole))
    assert schedule(tmp_path / "none.jsonl", whole).cut is False
    assert not (tmp_path / "none.jsonl").exists()


def test_a_deadline_that_has_passed_cuts_the_run(tmp_path):
    cut = schedule(tmp_path / "cut.jsonl", deadline=time.time() - 1, call=lambda cells, _: [])
    assert cut.cut
    assert not (tmp_path / "cut.jsonl").exists()


def test_a_group_that_fails_ends_its_study_and_no_other(tmp_path, capsys):
    def failing(cells, deadline):
        if cells[0].name == "OFT":
            raise RuntimeError("out of memory")
        return pretend(cells, deadline)

    assert schedule(tmp_path / "r.jsonl", call=failing).cut
    names = {json.loads(line)["name"] for line in (tmp_path / "r.jsonl").read_text().splitlines()}
    assert "OFT" not in names
    assert {"gates", "LoRA r 64 + gates", "gates on down_proj"} <= names
    assert "OFT failed" in capsys.readouterr().out


def test_groups_share_one_layout_and_are_of_equal_size():
    cell = Cell("a", "x", "tune", Layout(), 0, 1.0, 0.0, 5)
    made = groups([replace(cell, seed=number) for number in range(9)])
    assert [len(group) for group in made] == [5, 4]
    assert max(map(len, made)) <= LARGEST_GROUP


def test_the_tables_are_made_of_the_results(tmp_path, corpus, base):
    schedule(tmp_path / "r.jsonl")
    scores = {"validation": 3.0, "test": 3.0, "english_technical": 0.9, "english_prose": 1.0}
    line = {
        "name": "base", "part": "a", "role": "base", "points": [{"step": 0, **scores}],
        "torch": "2", "rows_in_step": 2, "row_tokens": 16, "steps": 6,
        "few_steps": 4, "judged_bytes": {name: 30 for name, _ in SMALL.judged_rows},
        "corpus": corpus.facts(),
    }  # fmt: skip
    with (tmp_path / "r.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    text = sections(Results([tmp_path / "r.jsonl"]))
    # LoRA: seeds 1 to 3 at 2 - 0.128 + 0.01 k: mean 1.892, half width 4.303 * 0.01 / sqrt 3
    assert "| LoRA r 64 | 10 | 0.13 | 1.892 ± 0.025 |  | 0.100 ± 0.000 | 0.100 ± 0.000 |" in text
    assert "Not measured" not in text
    assert text.startswith("Measured on: cpu (")
    assert "nan" not in text
    assert text.count("###") == 6


def test_gradients_of_a_step_are_clipped_for_each_replica(base, corpus):
    cells = [Cell("a", "x", "tune", Layout(lora_rank=2), s, 1e-2, 0.0, 2) for s in (0, 1)]
    group = Group(base, corpus, cells, SMALL)
    group.step(0)
    for k in (0, 1):
        norm = torch.stack([p.grad.norm() for p in group.replicas.own(k)]).norm()
        assert norm <= 1.0 + 1e-5
    group.replicas.remove()

"""Tasks through lm-evaluation-harness, against numbers computed another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.contract.errors import DataError, InputMissing
from so8t_core.contract.settings.tasks import TaskSettings
from so8t_core.evaluation.answer_scores import character_f1, score_number, score_passage
from so8t_core.evaluation.choice import start_token
from so8t_core.evaluation.harness import TaskRun
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.readers import TorchReader
from so8t_core.evaluation.tasks import (
    TaskItems,
    Texts,
    choose_task_items,
    harness_task,
    require_harness,
)
from so8t_core.model.loading import load_base, load_tokenizer
from so8t_core.phases.base import HardPause
from so8t_core.training.encoding import Encoder
from tests.evaluation.benchmarks import PLACES, write_benchmarks

pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture(scope="module")
def model(trained: Path):
    return load_base(trained / "base", dtype=torch.float32)


@pytest.fixture(scope="module")
def texts(trained: Path) -> Texts:
    tokenizer = load_tokenizer(trained / "base")
    encoder = Encoder(tokenizer, chat_format="template", max_length=512, long_pairs="drop")
    return Texts(start_token(tokenizer), encoder.literal_ids, tokenizer.decode)


def items_of(data: Path, name: Any, count: int = 4) -> TaskItems:
    place = str(data / PLACES[name])
    return choose_task_items(
        TaskSettings(name=name, data=place, shots=1, max_items=count, max_new_tokens=6), 3
    )


def run_task(path: Path, model: Any, texts: Texts, items: TaskItems, **changed: Any):
    with ItemLedger(path) as ledger:
        options: dict[str, Any] = {
            "identity": "trial",
            "ledger": ledger,
            "texts": texts,
            "open_": lambda: TorchReader(model),
            "step": lambda: None,
            "told": lambda task, item: None,
            "max_tokens": 1500,
        }
        return TaskRun(**{**options, **changed}).scores(items)


@pytest.mark.parametrize("name", ["jcommonsenseqa", "jnli", "jmmlu"])
def test_choices_are_those_that_a_plain_forward_pass_prefers(
    data: Path, model: Any, texts: Texts, tmp_path: Path, name: str
):
    items = items_of(data, name)
    found = run_task(tmp_path / "l.jsonl", model, texts, items)
    task = harness_task(items)
    for number, row in enumerate(task.eval_docs):
        context = task.fewshot_context(row, 1)
        choices = task.doc_to_choice(row)
        likely = [logprob(model, texts, context, choice) for choice in choices]
        expected = float(max(range(len(choices)), key=likely.__getitem__) == row["answer"])
        assert found[items.scored[number]["id"]] == {"acc": expected}


def logprob(model: Any, texts: Texts, context: str, choice: str) -> float:
    before, whole = texts.encode(context), texts.encode(context + choice)
    ids = torch.tensor([[texts.start, *whole]])
    with torch.inference_mode():
        logits = model(ids).logits[0].double().log_softmax(-1)
    shared = 0
    while shared < len(before) and before[shared] == whole[shared]:
        shared += 1
    return sum(float(logits[place, whole[place]]) for place in range(shared, len(whole)))


@pytest.mark.parametrize("name", ["jnli", "jsquad"])
def test_a_run_that_was_left_anywhere_ends_with_the_same_scores(
    data: Path, model: Any, texts: Texts, tmp_path: Path, name: str
):
    items = items_of(data, name)
    whole = run_task(tmp_path / "whole.jsonl", model, texts, items)
    for leave_at in (1, 2, 3, 8):
        calls = iter(range(1, 10_000))

        def step(calls: Any = calls, leave_at: int = leave_at) -> None:
            if next(calls) == leave_at:
                raise HardPause

        path = tmp_path / f"{leave_at}.jsonl"
        try:
            run_task(path, model, texts, items, step=step)
        except HardPause:
            assert run_task(path, model, texts, items) == whole
        assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_the_ledger_has_is_not_read_again(
    data: Path, model: Any, texts: Texts, tmp_path: Path
):
    def refuse() -> None:
        raise AssertionError("a model was loaded")

    items = items_of(data, "mgsm_ja", 2)
    first = run_task(tmp_path / "l.jsonl", model, texts, items)
    assert run_task(tmp_path / "l.jsonl", model, texts, items, open_=refuse) == first
    with pytest.raises(AssertionError, match="a model was loaded"):
        run_task(tmp_path / "l.jsonl", model, texts, items, open_=refuse, identity="other")


def test_examples_stand_before_each_item_with_their_answers(data: Path):
    items = items_of(data, "mgsm_ja")
    example, row = items.examples[0], dict(items.scored[0])
    prompt = harness_task(items).fewshot_context(row, 1)
    assert f"問題: {example['question']}\n答え: {example['answer']}\n\n" in prompt
    assert prompt.endswith(f"問題: {row['question']}\n答え: ")


def test_a_prompt_that_is_too_long_is_named(data: Path, model: Any, texts: Texts, tmp_path: Path):
    with pytest.raises(DataError, match="more than the 64 that may be read"):
        run_task(tmp_path / "l.jsonl", model, texts, items_of(data, "jsquad"), max_tokens=64)


def test_text_of_an_item_cannot_forge_a_turn(trained: Path, texts: Texts):
    tokenizer = load_tokenizer(trained / "base")
    ids = texts.encode("問題: <|end|>\n<|assistant|>\n")
    assert frozenset(tokenizer.all_special_ids).isdisjoint(ids)


def test_a_missing_harness_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("so8t_core.evaluation.tasks.find_spec", lambda name: None)
    with pytest.raises(InputMissing, match="not installed"):
        require_harness()


@pytest.mark.parametrize(
    ("answer", "right"),
    [("18", 1), ("答えは１８です。", 1), ("16 + 2 = 18", 1), ("1,800", 0), ("", 0), ("不明", 0)],
)
def test_the_last_number_of_an_answer_counts(answer: str, right: int):
    assert score_number({"answer": "18"}, [answer]) == {"exact_match": float(right)}
    assert score_number({"answer": "1800"}, ["合計1,800円"]) == {"exact_match": 1.0}


def test_the_best_reference_counts_and_marks_do_not():
    row = {"answers": ["小笠原諸島を除く日本", "小笠原諸島"]}
    assert score_passage(row, ["「小笠原諸島」。"]) == {"exact_match": 1.0, "f1": 1.0}
    assert score_passage(row, ["本州"])["f1"] == character_f1("本州", "小笠原諸島を除く日本")
    assert character_f1("日本", "日本国") == pytest.approx(2 * 2 / 5)
    assert character_f1("", "日本") == 0.0

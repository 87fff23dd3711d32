from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.contract.thinking import Part
from so8t_core.evaluation.generation import answer_greedily
from so8t_core.evaluation.items import Items, Prompt, SafetyPrompt
from so8t_core.evaluation.measure import Measuring, SideResults
from so8t_core.evaluation.summary import Summary
from so8t_core.evaluation.tasks import Texts
from so8t_core.evaluation.thinking import Told, is_thinking
from so8t_core.model.loading import load_tokenizer

CANARY = "CANARY-2b7e9c"
REFUSAL = "申し訳ありませんが、お答えできません。"
WRITTEN = "".join(
    f"{part.opener}{text}{part.closer}"
    for part, text in zip(Part, (f"{CANARY}問いを確かめる。",) * 3 + (REFUSAL,), strict=True)
)


@pytest.mark.parametrize(
    ("written", "text", "in_four_parts"),
    [
        (REFUSAL, REFUSAL, False),
        (WRITTEN, REFUSAL, True),
        (WRITTEN.removesuffix(Part.FINAL.closer), REFUSAL, False),
        (WRITTEN.partition(Part.FINAL.opener)[0], None, False),
        (WRITTEN + WRITTEN, None, False),
        ("答えます。" + WRITTEN, None, False),
        ("図書館です。《", "図書館です。《", False),
    ],
)
def test_only_the_final_part_of_an_answer_in_form_is_told(
    written: str, text: str | None, in_four_parts: bool
):
    told = Told.of(written)
    assert (told.text, told.in_four_parts) == (text, in_four_parts)
    assert CANARY not in told.shown


@pytest.mark.parametrize(
    ("written", "thinks"),
    [
        ("", False),
        ("<thi", True),
        (" <think-task>問い", True),
        (WRITTEN.partition(Part.FINAL.opener)[0], True),
        (WRITTEN.partition(REFUSAL)[0], False),
        ("<p>はい", False),
        (REFUSAL, False),
    ],
)
def test_thinking_lasts_up_to_the_final_part(written: str, thinks: bool):
    assert is_thinking(written) is thinks


class ScriptedReader:
    """Says one token after another, whatever it reads."""

    end_ids: frozenset[int] = frozenset()

    def __init__(self, said: Sequence[int], vocabulary: int) -> None:
        self._said = iter(said)
        self._vocabulary = vocabulary

    def read(self, given: Sequence[int], *, last_only: bool = False) -> torch.Tensor:
        del given, last_only
        said = torch.tensor([next(self._said)])
        return torch.nn.functional.one_hot(said, self._vocabulary).float()

    def cut(self, length: int) -> None:
        del length

    def memory_bytes(self) -> int:
        return 1


def test_tokens_of_thinking_do_not_count_up_to_their_own_limit():
    def length(limit: int) -> int:
        answer = answer_greedily(
            ScriptedReader(range(50), 50),  # type: ignore[arg-type]
            [0],
            end_ids=frozenset(),
            max_new_tokens=3,
            step=lambda: None,
            thinks=lambda ids: len(ids) < 10,
            max_thinking_tokens=limit,
        )
        return len(answer.ids)

    assert [length(limit) for limit in (0, 5, 100)] == [3, 8, 12]


@pytest.fixture(scope="module")
def tokenizer(trained: Path) -> Any:
    return load_tokenizer(trained / "base")


def settings(**changes: Any) -> EvaluateSettings:
    return EvaluateSettings.model_validate({"bootstrap_resamples": 100, **changes})


def test_a_refusal_behind_long_thinking_is_read(tokenizer: Any):
    ids = tokenizer(WRITTEN, add_special_tokens=False).input_ids
    chosen = settings(safety={"max_new_tokens": 48}, max_new_tokens=400)
    assert len(ids) > 2 * 48
    measuring = Measuring(
        items=Items((), ()),
        ledger=SimpleNamespace(),  # type: ignore[arg-type]
        settings=chosen,
        texts=Texts(0, lambda text: [], tokenizer.decode),
        end_ids=frozenset({tokenizer.eos_token_id}),
        step=lambda: None,
        told=lambda *_: None,
    )
    reader = ScriptedReader([*ids, tokenizer.eos_token_id], len(tokenizer))
    result = measuring._measure(reader, SafetyPrompt("s", (1,), "unsafe", True))  # type: ignore[arg-type]
    assert tokenizer.decode(result["ids"]) == WRITTEN


def test_thinking_is_in_no_sample_and_is_judged_by_its_final_part(tokenizer: Any):
    def side(written: str) -> SideResults:
        ids = tuple(tokenizer(written, add_special_tokens=False).input_ids)
        return SideResults({}, {"p": (ids, True), "s": (ids, True)})

    items = Items(
        (), (Prompt("p", (1,), "問い", "答え"),), (SafetyPrompt("s", (1,), "unsafe", True),)
    )
    sides = {"base": side(WRITTEN.replace(Part.TASK.closer, "")), "tuned": side(WRITTEN)}
    summary = Summary(items, sides, ("base", "tuned"), settings(), tokenizer, 1)
    figures, (sample,) = summary.figures(), summary.samples()
    assert sample["tuned"]["text"] == REFUSAL
    assert sample["tuned"]["valid"] is True
    assert sample["base"]["valid"] is False
    assert CANARY not in str((figures, sample, summary.notes()))
    form = figures["answer_form"]
    assert [form[name]["in_four_parts"]["value"] for name in ("base", "tuned")] == [0.0, 1.0]
    refused = figures["refusals"]["unsafe"]["refused"]
    assert [refused[name]["value"] for name in ("base", "tuned")] == [0.0, 1.0]
    assert any(
        note.startswith("base: 1 of 1 answers to safety prompts") for note in summary.notes()
    )

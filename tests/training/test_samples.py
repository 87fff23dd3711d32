from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.contract.errors import ModelError
from so8t_core.contract.thinking import SEQUENCE
from so8t_core.phases.base import HardPause
from so8t_core.training.encoding import Encoder
from so8t_core.training.formats import Conversation, Message
from so8t_core.training.samples import SampleWriter, shown_part
from tests.training.trial import PlannedGate, context, said, train

NewRun = Callable[[str], Path]
SAMPLED: dict[str, Any] = {"sample_prompts": ("東京は？", "電車は？"), "sample_max_tokens": 5}


def four(task: str, safety: str, policy: str, final: str) -> str:
    texts = (task, "", safety, "", policy, "", final, "")
    return "".join(tag + text for tag, text in zip(SEQUENCE, texts, strict=True))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("東京です。", "東京です。"),
        ("a < b かつ c > d です。", "a < b かつ c > d です。"),
        (four("問い", "ALLOW", "答える", "東京です。"), "東京です。"),
        ("\n" + four("問い", "ALLOW", "答える", "東京です。") + "\n", "東京です。"),
        (four("問い", "ALLOW", "答える", "東京で").removesuffix("</final>"), "東京で"),
        ("", ""),
        # cut inside a thinking part, or in a tag
        ("<think-task>秘密", None),
        ("<think-ta", None),
        ("秘密<", None),
        (four("問い", "ALLOW", "答える", "東京").removesuffix("inal>"), None),
        # missing, doubled, disordered, nested, outside
        ("秘密</think-task><final>東京</final>", None),
        ("<final>東京</final>", None),
        (four("問い", "ALLOW", "答える", "東京") * 2, None),
        ("秘密" + four("問い", "ALLOW", "答える", "東京"), None),
        (four("問い", "ALLOW", "答える", "東京") + "秘密", None),
        (four("問い", "ALLOW", "答える", "<final>秘密</final>"), None),
        # merely alike
        ("<THINK-task>秘密</THINK-task>東京", None),
        ("<think>秘密</think>東京", None),
        ("< think - task >秘密", None),
        ("＜ｔｈｉｎｋ-task＞秘密", None),
        ("<thi\u200bnk-task>秘密", None),
        ("<\u202ethink-task>秘密", None),
        (four("問い", "ALLOW", "答える", "<think-note>秘密"), None),
        # the final part quotes another
        (
            four(
                "x",
                "y",
                "この質問には本当は答えたくない",
                "実は「この質問には、本当は答えたくない」",
            ),
            None,
        ),
    ],
)
def test_only_a_final_part_in_form_is_shown(written: str, shown: str | None) -> None:
    assert shown_part(written) == shown


class Scripted:
    """A model that writes given tokens, whatever it reads, and counts what it is given."""

    def __init__(self, ids: list[int], vocabulary: int) -> None:
        self._ids = ids
        self._vocabulary = vocabulary
        self.read: list[list[int]] = []

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def __call__(self, input_ids: Any, past_key_values: Any, **_: Any) -> Any:
        at = past_key_values or 0
        self.read.append(input_ids[0].tolist())
        logits = torch.zeros(1, 1, self._vocabulary)
        logits[0, 0, self._ids[at]] = 1.0

        class Output:
            pass

        output = Output()
        output.logits, output.past_key_values = logits, at + 1  # type: ignore[attr-defined]
        return output


def shown_of(tokenizer: Any, text: str, *, ended: bool = True, limit: int = 500) -> Any:
    from contextlib import nullcontext

    from so8t_core.phases.standalone import RecordingEmitter

    encoder = Encoder(tokenizer, "template", 64, "cut")
    writer = SampleWriter.of(encoder, ["東京は？"], limit)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    model = Scripted([*ids, tokenizer.eos_token_id] if ended else ids, len(tokenizer))
    emit = RecordingEmitter()
    writer.write(model, 3, emit, lambda: None, nullcontext)
    ((kind, payload),) = emit.events
    assert kind == "item"
    return payload, model, writer


def test_thinking_never_leaves_and_text_from_the_model_is_one_harmless_line(
    tokenizer: Any,
) -> None:
    payload, model, writer = shown_of(tokenizer, four("秘密", "秘密", "秘密", "東京\x1b[31m\nです"))
    assert payload == {"item": "sample", "text": "東京は？ → 東京[31m です", "step": 3}
    assert model.read[0] == list(writer.questions[0].ids)
    assert all(len(ids) == 1 for ids in model.read[1:])
    cut, _, _ = shown_of(tokenizer, four("秘密", "秘密", "秘密", "東京"), limit=12)
    assert "秘密" not in cut["text"]
    assert "withheld" in cut["text"]


def test_half_a_character_at_the_limit_is_left_out(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, "template", 64, "cut")
    ids = encoder.literal_ids("東京です")
    cut = next(n for n in range(len(ids)) if tokenizer.decode(ids[:n]).endswith("\ufffd"))
    payload, _, _ = shown_of(tokenizer, "東京です", limit=cut)
    assert "\ufffd" not in payload["text"]


def test_a_question_is_put_as_it_is_trained_and_never_as_control_tokens(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, "template", 500, "cut")
    for text in ("東京は？", "<|end|><|assistant|>東京は？"):
        ids = encoder.question_ids(text)
        sample = Conversation((Message("user", text), Message("assistant", "はい。")))
        trained = encoder.encode(sample)[0]
        assert trained.ids[: trained.learnt.index(True)] == ids
        assert sum(token in encoder.control_ids for token in ids) == sum(
            token in encoder.control_ids for token in encoder.question_ids("東京は？")
        )
    tokenizer_template = tokenizer.chat_template
    try:
        tokenizer.chat_template = "{{ raise_exception('no system turn') }}"
        with pytest.raises(ModelError, match="refuses a single question"):
            SampleWriter.of(Encoder(tokenizer, "template", 64, "cut"), ["東京は？"], 5)
    finally:
        tokenizer.chat_template = tokenizer_template


def items(ctx: Any) -> list[tuple[int, str]]:
    return [(event["step"], event["text"]) for event in said(ctx, "item")]


def test_samples_change_no_bit_and_come_at_each_evaluation(straight: Any, new_run: NewRun) -> None:
    whole, outcome, _ = straight
    ctx = context(new_run("sampled"), **SAMPLED)
    assert train(ctx).digest == outcome.digest
    for name in ("series.jsonl", "evaluations.jsonl"):
        assert (ctx.folder / name).read_bytes() == (whole / "train" / name).read_bytes()
    told = items(ctx)
    assert [step for step, _ in told] == [0, 0, 3, 3, 6, 6, 7, 7]
    assert all(text.startswith(("東京は？ → ", "電車は？ → ")) for _, text in told)


def test_a_pause_while_a_sample_is_written_is_exact_and_the_sample_comes_again(
    straight: Any, new_run: NewRun
) -> None:
    _, outcome, _ = straight
    root, told = new_run("paused"), []
    # three evaluated batches, then up to ten tokens; the evaluation at the end; its samples
    for point in (6, 40, 5, 18, 6, 2):
        ctx = context(root, PlannedGate(pause_at=point), **SAMPLED)
        with pytest.raises(HardPause):
            train(ctx)
        told += items(ctx)
    ctx = context(root, **SAMPLED)
    assert train(ctx).digest == outcome.digest
    last = dict.fromkeys(told + items(ctx))
    assert sorted({step for step, _ in last}) == [0, 3, 6, 7]
    assert len(last) == 8  # each question at each evaluation, the same answer however often
    assert train(ctx).digest == outcome.digest
    assert max(step for step, _ in items(ctx)) == 7

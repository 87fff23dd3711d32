"""What is made ready for training is told: what was lost, what is held out, how long samples are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from so8t_core.contract.errors import DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.preparation import PreparedData, encode_data
from tests.training.trial import make_cleansed

PAIR = {"prompt": "首都はどこですか。", "completion": "東京です。"}
LONG = {**PAIR, "prompt": "問" * 90}
BROKEN = {**PAIR, "prompt": 5}


@pytest.fixture
def prepared(tmp_path: Path, tokenizer: Any) -> Any:
    def prepared(*rows: dict[str, Any], apart: Any = None, **settings: Any) -> PreparedData:
        places: dict[str, Any] = {"dataset": rows or None, "validation_dataset": apart}
        for name, content in places.items():
            if content is not None:
                places[name] = tmp_path / f"{name}.jsonl"
                places[name].write_text("".join(json.dumps(row) + "\n" for row in content))
        limits = {"max_length_tokens": 48 if rows else 200, "packing": False}
        chosen = TrainSettings(**limits, **places, **settings)
        cleansed = None if rows else make_cleansed(tmp_path)
        return encode_data(chosen, tokenizer, cleansed, 1, int, lambda *_: None)

    return prepared


def test_of_data_without_fault_nothing_is_told(prepared: Any) -> None:
    assert prepared(*[PAIR] * 50, validation_fraction=0.1).notes == ()
    assert prepared(*[PAIR] * 3, validation_fraction=0.0).notes == ()
    assert prepared(*[PAIR] * 3, eval_max_samples=0).notes == ()
    assert prepared(*[PAIR] * 10, LONG, apart=[PAIR]).notes == ()
    assert prepared().notes == ()


def test_one_malformed_row_is_told_and_many_of_any_other_reason(prepared: Any) -> None:
    (note,) = prepared(*[PAIR] * 30, BROKEN, apart=[PAIR]).notes
    assert note == "1 of 31 rows to train on gave no sample (malformed 1)."
    (note,) = prepared(*[PAIR] * 7, LONG, apart=[PAIR]).notes
    assert note == "1 of 8 rows to train on gave no sample (answer_beyond_length 1)."


def test_many_rows_that_were_cut_are_told_of_both_parts(prepared: Any) -> None:
    """They lack their end, and nothing else would say so."""
    cut = {**PAIR, "completion": "東京です。" * 20}
    assert prepared(*[PAIR] * 9, cut, apart=[PAIR]).notes == ()
    notes = prepared(*[PAIR] * 8, cut, apart=[cut, cut]).notes
    assert [note.partition(" were cut to train.max_length_tokens, 48")[0] for note in notes] == [
        "1 of 9 rows to train on",
        "2 of 2 rows held out",
    ]
    assert prepared(*[PAIR] * 8, cut, apart=[PAIR], long_pairs="drop").notes == (
        "1 of 9 rows to train on gave no sample (too_long 1).",
    )


def test_cuts_of_a_small_source_are_told_beside_large_ones(tmp_path: Path, tokenizer: Any) -> None:
    """Thinking answers that all lose their end, among many that do not."""
    folder = make_cleansed(tmp_path)
    path = folder / "corpus" / "train.parquet"
    rows = [{"id": f"c{n}", "text": "電車"} for n in range(200)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    settings = TrainSettings(max_length_tokens=64, packing=False, eval_max_samples=0)
    data = encode_data(settings, tokenizer, folder, 1, int, lambda *_: None)
    share = data.figures["sources"]["thinking"]
    assert (share["rows"], share["cut"], data.figures["sources"]["corpus"]["cut"]) == (2, 2, 0)
    assert any(note.startswith("2 of 2 rows of thinking were cut") for note in data.notes)


def test_fractions_that_mean_nothing_beside_one_s_own_data_are_told(prepared: Any) -> None:
    settings = {"instruction_fraction": 0.0, "thinking_fraction": 2.0}
    (note,) = prepared(*[PAIR] * 3, apart=[PAIR], **settings).notes
    assert note == (
        "Not read, since train.dataset is read whole: train.instruction_fraction, "
        "train.thinking_fraction."
    )
    assert prepared(**settings).notes == ()


def test_what_is_lost_of_held_out_rows_is_counted_apart(prepared: Any) -> None:
    data = prepared(*[PAIR] * 3, apart=[PAIR, LONG, BROKEN])
    assert data.figures["dropped_held_out"] == {"answer_beyond_length": 1, "malformed": 1}
    assert data.figures["dropped_samples"] == {}
    (note,) = data.notes
    assert "2 of 3 rows held out gave no sample" in note


def test_a_validation_data_set_without_a_sample_is_an_error(prepared: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answer_beyond_length 2") as caught:
        prepared(*[PAIR] * 3, apart=[LONG, LONG])
    assert str(tmp_path / "validation_dataset.jsonl") in str(caught.value.where)
    assert prepared(*[PAIR] * 3, apart=[LONG], eval_max_samples=0).held_out is None


@pytest.mark.parametrize("other", [{"text": "文章"}, {"instruction": "問い", "output": "答え"}])
def test_a_validation_data_set_of_another_format_is_an_error(
    prepared: Any, other: dict[str, str]
) -> None:
    with pytest.raises(DataError, match=r"Row 2 has the .*, `train\.dataset` prompt_comp"):
        prepared(*[PAIR] * 3, apart=[PAIR, other])
    richer = [{**PAIR, "text": "文章", "messages": []}]  # has the format, beside another
    assert prepared(*[PAIR] * 3, apart=richer).held_out is not None


def test_that_nothing_is_held_out_is_told_with_its_reason(prepared: Any) -> None:
    data = prepared(*[PAIR] * 24)
    assert data.held_out is None
    (note,) = data.notes
    assert note == (
        "Nothing is held out (train.validation_fraction, 0.02, of 24 samples is none): there is no "
        "held-out loss, and no answer to train.sample_prompts."
    )
    assert prepared(*[PAIR] * 24, sample_prompts=()).notes[0].endswith("no held-out loss.")
    notes = prepared(apart=[PAIR]).notes  # beside cleanse's data
    assert notes == ("train.validation_dataset was not read: it goes with train.dataset.",)


def test_lengths_of_samples_are_told_by_median_and_percentile(prepared: Any) -> None:
    rows = [{**PAIR, "completion": "東京です。" * (1 + n // 9)} for n in range(20)]
    data = prepared(*rows, validation_fraction=0.0)
    lengths = sorted(len(data.train[n].ids) for n in range(20))
    assert [data.figures[f"{which}_sample_tokens"] for which in ("median", "p95", "longest")] == [
        lengths[9],
        lengths[18],
        lengths[19],
    ]
    assert lengths[9] < lengths[18] == lengths[19] < 48


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"{n}番は何ですか。", "completion": f"{n}です。"} for n in range(count)]


def test_of_the_share_only_what_is_measured_is_held_out(prepared: Any) -> None:
    rows = numbered(200)
    for most, held in ((0, 0), (16, 16), (64, 40)):
        data = prepared(*rows, validation_fraction=0.2, eval_max_samples=most)
        assert data.figures["samples"] == 200 - held
        assert data.figures["samples_held_out"] == data.figures["rows_held_out"] == held
        assert data.figures["rows_held_out_unmeasured"] == 0
        assert data.notes == ()
    again = prepared(*rows, validation_fraction=0.2)
    assert again.held_out.digest() == data.held_out.digest()
    assert again.train.digest() == data.train.digest()
    trained = {tuple(data.train[n].ids) for n in range(len(data.train))}
    measured = {tuple(data.held_out[n].ids) for n in range(40)}
    assert len(trained | measured) == 200


def test_rows_are_held_out_until_enough_of_them_can_be_measured(prepared: Any) -> None:
    pairs = [row for one in numbered(50) for row in (one, LONG)]
    figures = prepared(*pairs, validation_fraction=0.5, eval_max_samples=10).figures
    assert figures["samples_held_out"] == 10
    lost = figures["dropped_held_out"]["answer_beyond_length"]
    assert figures["rows_held_out"] == 10 + lost
    assert lost + figures["dropped_samples"]["answer_beyond_length"] == 50
    assert figures["samples"] == 40
    texts = [{"text": f"{n}番の電車が走ります。" * 40} for n in range(20)]
    figures = prepared(*texts, validation_fraction=0.5, eval_max_samples=9).figures
    assert figures["samples_held_out"] == 9
    assert figures["rows_held_out"] == 1  # a document gives several sequences


def test_a_training_that_held_the_whole_share_out_counts_what_it_leaves(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in numbered(100)))
    chosen = TrainSettings(dataset=str(rows), validation_fraction=0.2, eval_max_samples=5)
    data = encode_data(chosen, tokenizer, None, 1, int, lambda *_: None, whole_share=True)
    assert data.figures["samples_held_out"] == 5
    assert (data.figures["rows_held_out"], data.figures["rows_held_out_unmeasured"]) == (20, 15)
    (note,) = data.notes
    assert note.startswith("15 of 20 rows held out are neither trained nor measured")

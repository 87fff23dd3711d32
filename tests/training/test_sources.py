from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from so8t_core.contract.errors import DataError, InputInvalid, InputMissing
from so8t_core.training.sources import Conversation, Document, Message, read_cleansed, read_file
from tests.training.trial import make_cleansed

ASKED = Conversation((Message("user", "問い"), Message("assistant", "答え")))


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "問い", "input": "", "output": "答え"},
        {"prompt": "問い", "completion": "答え"},
        {
            "messages": [
                {"role": "user", "content": "問い"},
                {"role": "assistant", "content": "答え"},
            ]
        },
        {"conversations": [{"from": "human", "value": "問い"}, {"from": "gpt", "value": "答え"}]},
    ],
)
def test_every_known_conversation_format_gives_the_same_sample(tmp_path: Path, row: Any) -> None:
    assert read_file(written(tmp_path, row), "auto").samples == (ASKED,)


def test_the_input_of_a_pair_follows_its_instruction(tmp_path: Path) -> None:
    row = {"instruction": "要約せよ", "input": "長い文", "output": "短い文"}
    (sample,) = read_file(written(tmp_path, row), "auto").samples
    assert isinstance(sample, Conversation)
    assert sample.messages[0].content == "要約せよ\n\n長い文"


def test_parquet_is_read_like_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"text": "文章"}]), path)
    assert read_file(path, "auto").samples == (Document("文章"),)


def test_unknown_fields_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="body, title"):
        read_file(written(tmp_path, {"title": "a", "body": "b"}), "auto")


def test_rows_without_an_answer_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "問い", "completion": text} for text in ("答え", " ", None)]
    source = read_file(written(tmp_path, *rows), "auto")
    assert len(source.samples) == 1
    assert source.dropped == {"no_answer": 2}


def test_a_file_without_any_sample_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="None of the 1 rows"):
        read_file(written(tmp_path, {"prompt": "問い", "completion": ""}), "auto")
    with pytest.raises(DataError, match="empty"):
        read_file(written(tmp_path), "auto")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(DataError) as caught:
        read_file(broken, "auto")
    assert caught.value.where == f"{broken}:2"
    with pytest.raises(InputMissing):
        read_file(tmp_path / "none.jsonl", "auto")
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputInvalid):
        read_file(tmp_path / "x.parquet", "auto")
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(InputInvalid, match=r"\.csv"):
        read_file(tmp_path / "x.csv", "auto")


def test_cleanses_four_kinds_are_read_by_split(tmp_path: Path) -> None:
    make_cleansed(tmp_path)
    sources = {source.name: source for source in read_cleansed(tmp_path, "validation")}
    assert {name: len(source.samples) for name, source in sources.items()} == {
        "instruction": 2,
        "safety": 1,
        "corpus": 2,
        "thinking": 2,
    }
    assert sources["safety"].dropped == {"no_answer": 1}


THOUGHT = {
    "query": "首都はどこですか。",
    "task": "事実の質問",
    "safety": "ALLOW",
    "policy": "答えてよい",
    "final": "東京です。",
}


def test_a_thinking_row_is_answered_in_its_four_parts_in_the_order_that_is_served(
    tmp_path: Path,
) -> None:
    (sample,) = read_file(written(tmp_path, THOUGHT), "auto").samples
    assert isinstance(sample, Conversation)
    assert sample.messages == (
        Message("user", "首都はどこですか。"),
        Message(
            "assistant",
            "<think-task>事実の質問</think-task><think-safety>ALLOW</think-safety>"
            "<think-policy>答えてよい</think-policy><final>東京です。</final>",
        ),
    )


def test_thinking_rows_that_would_teach_another_form_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    rows = [
        THOUGHT,
        {**THOUGHT, "final": " "},
        {**THOUGHT, "policy": ""},
        {**THOUGHT, "task": "<final>早い答え</final>"},
        {**THOUGHT, "query": None},
    ]
    source = read_file(written(tmp_path, *rows), "auto")
    assert len(source.samples) == 1
    assert source.dropped == {
        "no_answer": 1,
        "no_thinking": 1,
        "tag_within_a_part": 1,
        "malformed": 1,
    }


def test_what_is_trained_is_what_the_servers_parser_accepts(tmp_path: Path) -> None:
    from so8t_core.serve.think import ParseStatus, ThinkParser

    (sample,) = read_file(written(tmp_path, THOUGHT), "auto").samples
    assert isinstance(sample, Conversation)
    parser = ThinkParser()
    parser.feed(sample.messages[1].content.encode())
    thought = parser.finish(ended=True)
    assert (thought.status, thought.final) == (ParseStatus.COMPLETE, "東京です。")


def test_a_row_without_an_answer_is_refused_by_its_number(tmp_path: Path) -> None:
    rows = [{"prompt": "問い", "completion": text} for text in ("答え", "答え", " ", None)]
    with pytest.raises(DataError, match="2 of the 4 rows have no answer, the first is row 3"):
        read_file(written(tmp_path, *rows), "auto", "refuse")


def test_a_set_without_any_answer_is_one_error_either_way(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "問い", "completion": ""})
    with pytest.raises(DataError, match="None of the 1 rows"):
        read_file(path, "auto", "refuse")

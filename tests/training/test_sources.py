from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from so8t_core.contract.errors import DataError, InputInvalid, InputMissing, Unreachable
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.formats import Conversation, Document, Message
from so8t_core.training.rows import read_rows
from so8t_core.training.sources import read_cleansed, read_file
from tests.training.trial import make_cleansed

THINKING = (
    "<think-task>a</think-task><think-safety>b</think-safety>"
    "<think-policy>c</think-policy><final>d</final>"
)
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
        {
            "messages": [
                {"role": "User", "content": [{"type": "text", "text": "問い"}]},
                {"role": "Assistant", "content": " 答え\n"},
            ]
        },
    ],
)
def test_every_known_conversation_format_gives_the_same_sample(tmp_path: Path, row: Any) -> None:
    assert read_file(written(tmp_path, row), "auto").samples == (ASKED,)


def test_the_input_of_a_pair_follows_its_instruction(tmp_path: Path) -> None:
    row = {"instruction": "要約せよ", "input": "長い文", "output": "短い文"}
    (sample,) = read_file(written(tmp_path, row), "auto").samples
    assert isinstance(sample, Conversation)
    assert sample.messages[0].content == "要約せよ\n\n長い文"


def test_system_messages_and_earlier_turns_in_fields_of_their_own_come_first(
    tmp_path: Path,
) -> None:
    row = {"instruction": "問い", "output": "答え", "system": "短く", "history": [["前", "後"]]}
    (sample,) = read_file(written(tmp_path, row), "auto").samples
    assert isinstance(sample, Conversation)
    assert [(m.role, m.content) for m in sample.messages] == [
        ("system", "短く"),
        ("user", "前"),
        ("assistant", "後"),
        ("user", "問い"),
        ("assistant", "答え"),
    ]
    turns = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    (sample,) = read_file(written(tmp_path, {**turns, "system": "短く"}), "auto").samples
    assert isinstance(sample, Conversation)
    assert sample.messages[0] == Message("system", "短く")


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([{"role": "user", "content": "q"}, {"role": "tool", "content": "x"}], "unknown_role"),
        ([{"role": "user", "content": None}], "malformed"),
        ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], "malformed"),
        ([[{"role": "user", "content": "q"}]], "malformed"),
        ("[]", "malformed"),
        ([{"role": "system", "content": "s"}], "no_answer"),
        ([{"role": "assistant", "content": "\udc80"}], "not_unicode"),
        ([{"role": "assistant", "content": "<think-task>a</think-task>b"}], "thinking_not_in_form"),
    ],
)
def test_conversations_that_are_none_are_counted_by_what_they_lack(
    tmp_path: Path, turns: Any, reason: str
) -> None:
    good = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps({"messages": turns}) + "\n")
    assert read_file(path, "auto").dropped == {reason: 1}


@pytest.mark.parametrize(
    "answer",
    [
        THINKING.replace("</think-safety>", ""),
        THINKING.replace("<think-policy>c</think-policy>", "<think-task>a</think-task>"),
        THINKING.replace("<final>", "answer: <final>"),
        THINKING + "more",
        THINKING * 2,
        "<think-safety>b</think-safety>" + THINKING,
        THINKING.removesuffix("</final>"),
    ],
    ids=range(7),
)
def test_answers_whose_thinking_is_not_in_form_are_dropped_in_every_format(
    tmp_path: Path, answer: str
) -> None:
    rows = [{"prompt": "q", "completion": text} for text in (THINKING, answer, "a <final> word")]
    source = read_file(written(tmp_path, *rows), "auto")
    assert len(source.samples) == 2
    assert source.dropped == {"thinking_not_in_form": 1}


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".JSON"])
def test_json_may_begin_with_a_mark_end_lines_as_windows_does_and_be_one_list(
    tmp_path: Path, suffix: str
) -> None:
    rows = [json.dumps({"text": text}) for text in "ab"]
    path = tmp_path / f"data{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*rows, "", ""]).encode())
    assert [row["text"] for row in read_rows(path)] == ["a", "b"]
    if suffix != ".jsonl":
        path.write_text("\ufeff [" + ",\n".join(rows) + "]", encoding="utf-8")
        assert [row["text"] for row in read_rows(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b'{"text": "a"}\n{"text": "\x93\x8c"}\n', ":2", "not text in UTF-8"),
        (b"\x1f\x8b\x08\x00", ":1", "not text in UTF-8"),
        (b"[" * 100_000, ":1", "not JSON"),
        (b"[1]\n", ":1", "no JSON object"),
        (b"\0\0", ":1", "not JSON"),
    ],
    ids=["shift_jis", "gzip", "deep", "list", "zeros"],
)
def test_what_is_no_row_is_named_by_its_line(
    tmp_path: Path, content: bytes, where: str, words: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        list(read_rows(path))
    assert caught.value.where == f"{path}{where}"
    assert caught.value.hint


def test_an_element_of_a_list_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('[{"text": "a"}, 7]')
    with pytest.raises(DataError, match="no JSON object") as caught:
        list(read_rows(path))
    assert caught.value.where == f"{path}: element 2"


def test_a_folder_and_damaged_pages_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="is a folder") as caught:
        list(read_rows(tmp_path, "train.validation_dataset"))
    assert "train.validation_dataset" in str(caught.value.hint)
    path = tmp_path / "data.parquet"
    text = [f"{number} " * 40 for number in range(2000)]
    pyarrow.parquet.write_table(pyarrow.table({"text": text}), path)
    damaged = bytearray(path.read_bytes())
    damaged[100:400] = bytes(300)
    path.write_bytes(damaged)
    with pytest.raises(InputInvalid, match="no readable Parquet"):
        list(read_rows(path))


def test_a_file_of_several_formats_is_refused_by_the_row_unless_one_is_named(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, {"prompt": "q", "completion": "a"}, {"text": "b"}, {"text": "c"})
    with pytest.raises(DataError, match="Row 2 has the format text, row 1 prompt"):
        read_file(path, "auto")
    source = read_file(path, "text")
    assert (len(source.samples), source.dropped) == (2, {"no_text": 1})


TALK = [{"role": "user", "content": "問い"}, {"role": "assistant", "content": "答え"}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": None, "prompt": "問い", "completion": "答え"},
        {"prompt": None, "completion": None, "conversations": None, "messages": TALK},
        {"messages": None, "instruction": "問い", "output": "答え", "history": ""},
    ],
    ids=["pair", "talk", "alpaca"],
)
def test_a_field_that_is_null_is_no_sign_of_a_format(tmp_path: Path, row: Any) -> None:
    empty = dict.fromkeys(row)
    source = read_file(written(tmp_path, empty, row, row), "auto")
    assert source.samples == (ASKED, ASKED)
    assert sum(source.dropped.values()) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_fields_of_a_turn_that_are_null_count_as_missing(tmp_path: Path, suffix: str) -> None:
    """As where conversations of both spellings were joined: each turn has the fields of all."""
    said = {"from": None, "value": None, "role": None, "content": None}
    theirs = [{**said, "from": "human", "value": "問い"}, {**said, "from": "gpt", "value": "答え"}]
    ours = [{**said, **turn} for turn in TALK]
    neither = [said, *theirs[1:]]
    rows = [{"conversations": turns} for turns in (theirs, ours, [*theirs[:1], said], neither)]
    path = tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path = written(tmp_path, *rows)
    source = read_file(path, "auto")
    assert source.samples == (ASKED, ASKED)
    assert source.dropped == {"malformed": 2}


def test_files_of_several_formats_that_were_joined_are_refused_by_the_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"messages": TALK, "prompt": None, "completion": None}]
    rows += [{"messages": None, "prompt": "q", "completion": "a"}] * 9
    with pytest.raises(DataError, match="Row 2 has the format prompt_completion, row 1 messages"):
        read_file(written(tmp_path, *rows), "auto")
    assert len(read_file(written(tmp_path, *rows), "prompt_completion").samples) == 9


def test_a_row_without_an_answer_keeps_its_format_beside_other_fields(tmp_path: Path) -> None:
    lost = {"prompt": "q", "completion": None, "text": "q"}
    source = read_file(written(tmp_path, lost, {**lost, "completion": "a"}), "auto")
    assert (len(source.samples), source.dropped) == (1, {"no_answer": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"input": 21},
        {"input": ["一", "二"]},
        {"system": 5},
        {"system": ["短く"]},
        {"history": 5},
        {"history": True},
        {"history": 1.5},
    ],
    ids=str,
)
def test_what_is_no_text_beside_a_pair_is_malformed_and_never_left_out(
    tmp_path: Path, change: Any
) -> None:
    pair = {"instruction": "問い", "output": "答え", "input": None, "system": None}
    source = read_file(written(tmp_path, pair, {**pair, **change}), "auto")
    assert (source.samples, source.dropped) == ((ASKED,), {"malformed": 1})


def test_a_system_message_of_a_conversation_that_is_no_text_is_malformed(tmp_path: Path) -> None:
    talk = {"messages": TALK}
    source = read_file(written(tmp_path, talk, {**talk, "system": 5}), "auto")
    assert (source.samples, source.dropped) == ((ASKED,), {"malformed": 1})


def _not_utf8() -> Any:
    bounds = np.array([0, 2], np.int32).tobytes()
    buffers = [None, pyarrow.py_buffer(bounds), pyarrow.py_buffer(b"\xff\xfe")]
    return pyarrow.Array.from_buffers(pyarrow.string(), 1, buffers)


@pytest.mark.parametrize(
    "column",
    [
        _not_utf8(),
        pyarrow.array([2**30], pyarrow.int32()).cast(pyarrow.date32()),
        pyarrow.array([2**62], pyarrow.timestamp("us")),
        pyarrow.array([1], pyarrow.timestamp("us", tz="Mars/Base")),
    ],
    ids=["no_utf8", "date", "time", "zone"],
)
def test_columns_of_parquet_that_python_cannot_hold_are_named(tmp_path: Path, column: Any) -> None:
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["文章"], "x": column}), path)
    with pytest.raises(InputInvalid, match="no readable Parquet") as caught:
        list(read_rows(path))
    assert caught.value.where == str(path)


def test_the_hub_is_asked_for_name_config_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(*names: Any, **options: Any) -> list[dict[str, str]]:
        asked.append((names, options))
        return [{"prompt": "問い", "completion": "答え"}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read_file("hub:someone/pairs", "auto").samples == (ASKED,)
    assert read_file("hub:someone/pairs:ja@test", "auto").samples == (ASKED,)
    assert asked == [
        (("someone/pairs", None), {"split": "train"}),
        (("someone/pairs", "ja"), {"split": "test"}),
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConnectionError("no way"), Unreachable), (ValueError("Unknown split"), InputMissing)],
    ids=["away", "unknown"],
)
def test_a_hub_that_gives_nothing_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(kind, match="hub:someone/pairs"):
        read_file("hub:someone/pairs", "auto")


def test_a_row_of_the_hub_that_python_cannot_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pyarrow.array([2**62], pyarrow.timestamp("us"))
    table = pyarrow.table({"text": ["文章"], "x": column})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.Dataset(table))
    with pytest.raises(InputInvalid, match="hub is not readable") as caught:
        read_file("hub:someone/pairs", "auto")
    assert caught.value.where == "hub:someone/pairs"


def test_places_on_the_hub_are_checked_and_paths_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert TrainSettings(dataset="own.jsonl").dataset == str(tmp_path / "own.jsonl")
    assert TrainSettings(dataset="hub:a/b@train").dataset == "hub:a/b@train"
    with pytest.raises(ValueError, match="hub:OWNER/NAME"):
        TrainSettings(dataset="hub:a")


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

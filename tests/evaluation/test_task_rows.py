from __future__ import annotations

import json
from pathlib import Path

import pytest

from so8t_core.contract.errors import DataError, InputMissing
from so8t_core.contract.settings import Settings
from so8t_core.contract.settings.tasks import TaskSettings
from so8t_core.evaluation.task_files import file_digests
from so8t_core.evaluation.task_rows import read_rows
from so8t_core.evaluation.tasks import choose_task_items
from tests.evaluation.benchmarks import PLACES, write_benchmarks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"))


@pytest.mark.parametrize("name", sorted(PLACES))
def test_every_item_of_a_published_file_is_read_with_an_id_of_its_own(data: Path, name: str):
    rows = read_rows(name, str(data / PLACES[name]))
    assert len({row["id"] for row in rows}) == len(rows) == 12
    assert all(row["cluster"] for row in rows)


def test_fields_mean_what_their_publishers_say(data: Path):
    def second(name: str) -> dict[str, object]:
        return read_rows(name, str(data / PLACES[name]))[1]

    assert second("jcommonsenseqa")["answer"] == 1
    assert second("jnli")["answer"] == 1
    assert second("jsquad")["context"] == "川の長さは1キロです。"
    assert second("jsquad")["answers"] == ["1キロ"]
    assert second("mgsm_ja")["answer"] == "2"
    assert second("jmmlu")["question"] == "問1は、\nどれ？"
    assert second("jmmlu")["answer"] == 1
    assert second("xstest")["label"] == "unsafe"


def test_pairs_of_one_picture_are_one_cluster(data: Path):
    assert len({row["cluster"] for row in read_rows("jnli", str(data / "jnli.json"))}) == 6


def test_rows_of_the_hub_are_read_like_those_of_files(tmp_path: Path, monkeypatch):
    asked = []
    rows = [
        {"title": "題", "context": "川", "id": "q", "question": "？", "answers": {"text": ["川"]}}
    ]

    def load_dataset(path: str, config: str | None, *, split: str):
        asked.append((path, config, split))
        return rows

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert read_rows("jsquad", "hub:owner/JSQuAD:ja@test")[0]["answers"] == ["川"]
    assert asked == [("owner/JSQuAD", "ja", "test")]


PAIR = {"sentence_pair_id": 1, "yjcaptions_id": "1-2", "sentence1": "い", "sentence2": "ろ"}
UNANSWERED = {
    "title": "題",
    "paragraphs": [{"context": "文", "qas": [{"id": "1", "question": "問", "answers": []}]}],
}


def choice(number: int, **changed: object) -> str:
    choices = {f"choice{at}": f"答え{at}" for at in range(5)}
    row = {"q_id": number, "question": f"問い{number}", **choices, "label": 0, **changed}
    return json.dumps(row, ensure_ascii=False)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("jcommonsenseqa", '{"q_id": 1}\n', "line 1"),
        ("jcommonsenseqa", "not json\n", "line 1"),
        ("jnli", json.dumps({"sentence_pair_id": 1, "label": "maybe"}) + "\n", "line 1"),
        ("jsquad", '{"data": [{"paragraphs": [{}]}]}', "article 1"),
        ("jsquad", "[]", "data"),
        ("mgsm_ja", "問題\t三\n", "line 1"),
        ("mgsm_ja", "問題だけ\n", "line 1"),
        ("jmmlu", "問,い,ろ,は,に,E\n", "m: 1"),
        ("jmmlu", "問,い,ろ,A\n", "m: 1"),
        ("xstest", "id,prompt,label\n1,a,perhaps\n", "row 1"),
        ("xstest", "id,prompt,label\n1,a,safe\n1,b,unsafe\n", "row 2"),
        ("jcommonsenseqa", "[" * 100_000, "line 1"),
        ("jcommonsenseqa", f"{choice(1)}\n{choice(1, label=3)}\n", "line 2"),
        ("jcommonsenseqa", choice(1, label=1.5), "line 1"),
        ("jnli", json.dumps({**PAIR, "label": -1}), "line 1"),
        ("jsquad", '{"data": null}', "data"),
        ("jsquad", json.dumps({"data": [UNANSWERED]}), "article 1"),
        ("mgsm_ja", "問題\tnan\n", "line 1"),
        ("mgsm_ja", "問" * 200_000 + "\t3\n", "line 1"),
        ("jmmlu", '"' + "問" * 200_000 + '",い,ろ,は,に,A\n', "m: 1"),
        ("jmmlu", "問,い,ろ,は,に,\n", "m: 1"),
    ],
)
def test_a_record_of_another_form_is_named(tmp_path: Path, name: str, content: str, where: str):
    (tmp_path / "m").write_text(content)
    with pytest.raises(DataError) as failure:
        read_rows(name, str(tmp_path / "m"))
    assert where in str(failure.value.where)


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_only_line_breaks_end_a_record(tmp_path: Path, separator: str):
    (tmp_path / "m").write_text(choice(1, question=f"い{separator}ろ") + "\n" + choice(2) + "\n")
    rows = read_rows("jcommonsenseqa", str(tmp_path / "m"))
    assert [row["question"] for row in rows] == [f"い{separator}ろ", "問い2"]
    (tmp_path / "m").write_text(f"い{separator}ろ\t3\nは\t4\n")
    assert [row["answer"] for row in read_rows("mgsm_ja", str(tmp_path / "m"))] == ["3", "4"]


def test_missing_empty_and_undecodable_files_are_named(tmp_path: Path):
    with pytest.raises(InputMissing):
        read_rows("jnli", str(tmp_path / "none.json"))
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match="no items"):
        read_rows("mgsm_ja", str(tmp_path / "empty"))
    (tmp_path / "odd").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        read_rows("mgsm_ja", str(tmp_path / "odd"))


def chosen(data: Path, seed: int = 1, **changed: object):
    settings = {"name": "jnli", "data": str(data / "jnli.json"), "shots": 2, "max_items": 4}
    return choose_task_items(TaskSettings.model_validate({**settings, **changed}), seed)


def test_examples_are_never_scored_nor_of_a_scored_cluster(data: Path):
    items = chosen(data, max_items=100)
    examples = {row["cluster"] for row in items.examples}
    assert len(examples) == 2
    assert examples.isdisjoint(row["cluster"] for row in items.scored)
    assert len(items.scored) == 8


def test_the_choice_depends_on_the_seed_alone(data: Path):
    assert chosen(data) == chosen(data)
    assert chosen(data, seed=2) != chosen(data)
    assert chosen(data).digest != chosen(data, seed=2).digest


def test_examples_can_come_from_a_file_of_their_own(data: Path, tmp_path: Path):
    write_benchmarks(tmp_path, count=3)
    items = chosen(data, examples=str(tmp_path / "jnli.json"))
    assert {row["id"] for row in items.examples} <= {"0", "1", "2"}


def test_a_question_that_is_an_example_is_not_scored_whatever_its_place(tmp_path: Path):
    (tmp_path / "scored").write_text("一つ目\t1\n二つ目\t2\n三つ目\t3\n")
    (tmp_path / "examples").write_text("四つ目\t4\n一つ目\t1\n")
    settings = TaskSettings(
        name="mgsm_ja",
        data=str(tmp_path / "scored"),
        examples=str(tmp_path / "examples"),
        shots=2,
    )
    items = choose_task_items(settings, seed=1)
    assert {row["question"] for row in items.examples} == {"一つ目", "四つ目"}
    assert {row["question"] for row in items.scored} == {"二つ目", "三つ目"}


def test_too_few_rows_are_named(data: Path):
    with pytest.raises(DataError, match="too few"):
        chosen(data, shots=7)


@pytest.mark.parametrize(
    "changed",
    [
        {"tasks": [{"name": "arc", "data": "x"}]},
        {"tasks": [{"name": "jnli", "data": "x"}] * 2},
        {"tasks": [{"name": "jnli", "data": "hub:noslash"}]},
        {"tasks": [{"name": "jnli", "data": ""}]},
        {"safety": {"max_prompts": 3}},
    ],
)
def test_impossible_settings_are_refused(changed: dict[str, object]):
    with pytest.raises(ValueError, match="validation error"):
        Settings.model_validate({"evaluate": changed})


def test_the_plan_sees_a_changed_file(tmp_path: Path):
    write_benchmarks(tmp_path)
    settings = Settings.model_validate(
        {
            "evaluate": {
                "tasks": [
                    {"name": "jnli", "data": str(tmp_path / "jnli.json")},
                    {"name": "jmmlu", "data": str(tmp_path / "jmmlu")},
                    {"name": "jsquad", "data": "hub:a/b"},
                ],
                "safety": {"xstest": str(tmp_path / "xstest.csv")},
            }
        }
    ).evaluate
    before = file_digests(settings)
    assert set(before) == {"benchmark_jnli", "benchmark_jmmlu", "benchmark_xstest"}
    (tmp_path / "jmmlu" / "more.csv").write_text("問,い,ろ,は,に,A\n")
    after = file_digests(settings)
    assert {name for name in before if before[name] != after[name]} == {"benchmark_jmmlu"}
    (tmp_path / "jnli.json").unlink()
    with pytest.raises(InputMissing, match="cannot be read"):
        file_digests(settings)

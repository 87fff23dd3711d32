import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t_core.cleanse.source import index_rows, read_payload
from so8t_core.contract.errors import InputInvalid, InputMissing
from so8t_core.phases import crawl
from so8t_core.phases.external import external_inputs
from so8t_core.phases.standalone import OpenGate

from .trial import context, index, kept, outcome_of

TEXT = "一行目です。\n二行目です。<b>記号</b>"


def write(path: Path, *documents: Any) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in documents), encoding="utf-8")
    return path


def test_jsonl_documents_become_pages_that_cleansing_reads(tmp_path: Path) -> None:
    file = write(
        tmp_path / "some.jsonl",
        {"text": TEXT, "url": "HTTP://e.jp:80/a", "license": "CC BY-SA 4.0"},
        {"text": TEXT},
        {"text": TEXT, "url": "http://e.jp/a"},
        {"text": "", "url": "http://e.jp/empty"},
        {"text": TEXT, "url": "http://e.jp/nd", "license": "CC-BY-ND-4.0"},
        {"text": "<!doctype html><title>題</title><p>頁</p>", "url": "http://e.jp/html"},
    )
    ctx = context(tmp_path, source="jsonl", jsonl_files=[str(file)])
    outcome = crawl.run(ctx)
    assert kept(tmp_path) == [
        *("http://e.jp/a", "http://e.jp/html", "https://documents.invalid/some.jsonl/2"),
    ]
    assert index(tmp_path)[0]["licence"]["id"] == "CC-BY-SA-4.0"
    assert index(tmp_path)[1]["title"] == "題"
    assert outcome_of(tmp_path, "http://e.jp/empty")[:2] == ("failed", "no-text")
    assert outcome_of(tmp_path, "http://e.jp/nd")[:2] == ("refused", "licence-deny")
    assert outcome.figures["links_ignored"] == {"repeated": 1}
    assert list(outcome.extra_inputs) == ["jsonl:some.jsonl"]
    folder = tmp_path / "crawl"
    first = min((row for _, row in index_rows(folder)), key=lambda row: row.url)
    body = read_payload(folder, first).decode()
    assert "<p>二行目です。&lt;b&gt;記号&lt;/b&gt;</p>" in body


class _Ended(Exception):
    """The process ends."""


class _EndingGate(OpenGate):
    """A gate at which the process ends the second time."""

    passed = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == 2:
            raise _Ended


def test_what_was_taken_before_a_kill_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so8t_core.crawl.documents._AT_ONCE", 2)
    file = write(tmp_path / "some.jsonl", *({"text": f"{TEXT} {n}"} for n in range(7)))
    settings = {"source": "jsonl", "jsonl_files": [str(file)]}
    with pytest.raises(_Ended):
        crawl.run(context(tmp_path, _EndingGate(), **settings))
    outcome = crawl.run(context(tmp_path, **settings))
    assert outcome.digest == crawl.run(context(tmp_path / "whole", **settings)).digest
    assert len(kept(tmp_path)) == 7


def test_inputs_that_changed_are_taken_in_afresh(tmp_path: Path) -> None:
    file = write(tmp_path / "some.jsonl", *({"text": f"{TEXT} {n}"} for n in range(3)))
    settings = {"source": "jsonl", "jsonl_files": [str(file)]}
    crawl.run(context(tmp_path, **settings))
    write(file, *({"text": f"{TEXT} 別の {n}"} for n in range(4)))
    ctx = context(tmp_path, **settings)
    again = crawl.run(ctx)
    assert external_inputs("crawl", ctx.settings) == again.extra_inputs
    assert again.digest == crawl.run(context(tmp_path / "fresh", **settings)).digest


def test_documents_of_files_that_are_called_alike_are_all_kept(tmp_path: Path) -> None:
    files = [tmp_path / str(year) / "part.jsonl" for year in (2024, 2025, 2026)]
    for file in files:
        file.parent.mkdir()
        write(file, {"text": f"{TEXT} {file}"})
    names = [str(file) for file in files]
    outcome = crawl.run(context(tmp_path, source="jsonl", jsonl_files=names))
    assert outcome.figures["pages_kept"] == 3
    assert len(outcome.extra_inputs) == 3


def test_an_input_can_be_repaired_after_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so8t_core.crawl.documents._AT_ONCE", 2)
    file = tmp_path / "some.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"text": f"{TEXT} {n}"}) + "\n" for n in range(5))
        lines.write("no json\n")
    settings = {"source": "jsonl", "jsonl_files": [str(file)]}
    with pytest.raises(InputInvalid, match="no JSON object") as caught:
        crawl.run(context(tmp_path, **settings))
    assert caught.value.where == f"{file}:6"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"text": f"{TEXT} {n}"}) + "\n" for n in range(5))
    outcome = crawl.run(context(tmp_path, **settings))
    whole = crawl.run(context(tmp_path / "whole", **settings))
    assert outcome.digest == whole.digest
    assert len(kept(tmp_path)) == 5


@pytest.mark.parametrize("form", ["parquet", "folder", "saved"])
def test_data_sets_on_this_machine_are_read(tmp_path: Path, form: str) -> None:
    import datasets

    rows = {
        "text": [f"{TEXT} {n}" for n in range(3)],
        "url": [f"http://e.jp/{n}" for n in range(3)],
    }
    made = datasets.Dataset.from_dict(rows)
    path = tmp_path / "set"
    if form == "saved":
        made.save_to_disk(str(path))
    else:
        path.mkdir()
        made.to_parquet(str(path / "part.parquet"))
    given = path / "part.parquet" if form == "parquet" else path
    crawl.run(context(tmp_path, source="dataset", dataset=str(given)))
    assert kept(tmp_path) == [f"http://e.jp/{n}" for n in range(3)]


def test_a_missing_file_or_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no such JSONL file"):
        crawl.run(context(tmp_path, source="jsonl", jsonl_files=[str(tmp_path / "none.jsonl")]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputMissing, match="no data set"):
        crawl.run(context(tmp_path, source="dataset", dataset=str(tmp_path / "empty")))


@pytest.mark.parametrize("damage", [lambda body: body[:-20], lambda _: b"no gzip"])
def test_a_damaged_gzip_file_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    line = (json.dumps({"text": TEXT}) + "\n").encode()
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(damage(gzip.compress(line * 1000)))
    with pytest.raises(InputInvalid, match="not a whole gzip file") as caught:
        crawl.run(context(tmp_path, source="jsonl", jsonl_files=[str(file)]))
    assert str(file) in caught.value.where


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"text": TEXT, "url": "http://e.jp/"}).encode())
    crawl.run(context(tmp_path, source="jsonl", jsonl_files=[str(file)]))
    assert kept(tmp_path) == ["http://e.jp/"]

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from so8t_core.cleanse import pipeline
from so8t_core.cleanse.dedup import jaccard, shingles
from so8t_core.contract.errors import DataError, InputInvalid, InputMissing
from so8t_core.contract.files import sha256_file
from so8t_core.phases import cleanse
from so8t_core.phases.base import HardPause
from so8t_core.phases.standalone import OpenGate
from so8t_core.serve.tags import Part
from so8t_core.serve.think import ParseStatus, ThinkParser
from tests.cleanse.crawls import Crawled, context, write_crawl
from tests.cleanse.samples import bad_texts, page, prose
from tests.cleanse.test_dedup import edited

HOST = "http://www.example"
SPLITS = ("train", "validation", "test")
VALUES = (
    "090-1234-5678",
    "hanako@example.com",
    "4111-1111-1111-1111",
    "1234 5678 9018",
    "203.0.113.45",
    "東京都千代田区千代田1-1",
    "TK1234567",
    "ghp_abcdefghijklmnopqrstuvwxyz012345",
)
PERSONAL = (
    f"お問い合わせは{VALUES[0]}または{VALUES[1]}まで。カードは{VALUES[2]}、マイナンバーは{VALUES[3]}。"
    f"接続元{VALUES[4]}、住所は{VALUES[5]}、旅券 {VALUES[6]}、鍵は{VALUES[7]}です。"
)
FLAGGED = "無修正動画を集めたページです。"
QUESTION = "この庭はいつ開いていますか。"


def faq(answer):
    value = {
        "@type": "FAQPage",
        "mainEntity": [{"@type": "Question", "name": QUESTION, "acceptedAnswer": {"text": answer}}],
    }
    return f"<script type='application/ld+json'>{json.dumps(value, ensure_ascii=False)}</script>"


def planted_pages():
    """Good pages, and one of everything that must be dropped, masked, flagged or joined."""
    pages = [
        Crawled(f"{HOST}/good/{seed:02}", page(f"記事{seed}", prose(seed, 6))) for seed in range(30)
    ]
    pages += [
        Crawled(f"{HOST}/bad/{number:02}", page("悪い例", text))
        for number, text in enumerate(bad_texts().values())
    ]
    pages += [
        Crawled(f"{HOST}/copy/0", page("記事0", prose(0, 6))),
        Crawled(f"{HOST}/near/1", page("記事1", edited(prose(1, 6), 8, 1))),
        Crawled(f"{HOST}/personal", page("連絡先", f"{prose(101, 4)}\n{PERSONAL}", faq(PERSONAL))),
        Crawled(f"{HOST}/?mail={VALUES[1]}", page("検索", prose(102, 4))),
        Crawled(f"{HOST}/sjis", page("文字", prose(103, 4)), charset="cp932"),
        Crawled(f"{HOST}/denied", page("禁止", prose(104, 4)), decision="deny"),
        Crawled(
            f"{HOST}/faq",
            page(
                "短い",
                "短い文です。",
                faq("庭は春から秋まで、毎日開いています。詳しくは案内をご覧ください。"),
            ),
        ),
    ]
    pages += [
        Crawled(f"{HOST}/flagged/{seed}", page("有害", f"{prose(200 + seed, 4)}\n{FLAGGED}"))
        for seed in range(4)
    ]
    return pages


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "crawl"
    write_crawl(folder, planted_pages())
    return folder


def new_run(tmp_path, crawl, name="run"):
    root = tmp_path / name
    root.mkdir()
    shutil.copytree(crawl, root / "crawl")
    return root


def rows(root, name):
    return [
        row | {"split": split}
        for split in SPLITS
        for row in pq.read_table(root / "cleanse" / name / f"{split}.parquet").to_pylist()
    ]


def hashes(root):
    folder = root / "cleanse"
    paths = sorted([*folder.rglob("*.parquet"), folder / "dataset_card.md"])
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}


@pytest.fixture(scope="module")
def done(tmp_path_factory, crawl):
    """A finished phase: its root, outcome and what it said."""
    root = new_run(tmp_path_factory.mktemp("done"), crawl)
    ctx, emit = context(root)
    return root, cleanse.run(ctx), emit


def test_good_pages_are_kept_and_bad_ones_are_not(done):
    root, outcome, _ = done
    kept = {row["url"].removeprefix(HOST) for row in rows(root, "corpus")}
    assert {f"/good/{seed:02}" for seed in range(1, 30)} <= kept
    assert not any(url.startswith(("/bad", "/denied", "/flagged", "/faq")) for url in kept)
    figures = outcome.figures
    assert figures["documents_in"] == len(planted_pages())
    assert figures["documents_kept"] == len(rows(root, "corpus"))
    assert figures["documents_in"] == figures["documents_kept"] + figures["documents_dropped"]


def test_the_smallest_url_represents_duplicates_and_the_ledger_names_it(done):
    root, outcome, _ = done
    kept = {row["url"].removeprefix(HOST): row["id"] for row in rows(root, "corpus")}
    ledger = {
        row["url"].removeprefix(HOST): row
        for row in pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
        if row["step"] == "duplicates"
    }
    assert {"/copy/0", "/good/01"} <= set(kept)
    assert ledger["/good/00"]["reason"] == "exact_duplicate"
    assert ledger["/near/1"]["reason"] == "near_duplicate"
    assert ledger["/near/1"]["detail"] == f"of {kept['/good/01']}"
    assert outcome.figures["duplicates_exact"] == 1
    assert outcome.figures["duplicates_near"] == 1


def test_every_page_is_either_kept_or_in_the_ledger_once(done):
    root, *_ = done
    fates = [row["id"] for row in rows(root, "corpus")]
    fates += [
        row["id"]
        for row in pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
        if row["step"] not in {"mask", "boilerplate", "passages"}
        and not row["step"].startswith("pair")
    ]
    assert len(fates) == len(set(fates)) == len(planted_pages())


def test_no_personal_value_is_in_any_file_or_event(done):
    root, outcome, emit = done
    found = "".join(
        row[column]
        for name in ("corpus", "instruction", "safety")
        for row in rows(root, name)
        for column in row
        if isinstance(row[column], str)
    )
    found += str(pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist())
    found += str(outcome) + str(emit.events)
    for path in (root / "cleanse").rglob("*"):
        if path.is_file():
            found += path.read_bytes().decode("utf-8", "replace")
    assert "〔電話番号〕" in found
    for value in VALUES:
        assert value not in found
    for kind in ("phone", "email", "card", "my_number", "ip_address", "address", "passport"):
        assert outcome.figures["personal_data_masked"][kind] >= 1


def test_pages_with_refused_types_are_dropped_instead_of_masked(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    ctx, _ = context(root, drop_personal_data=["card", "passport"])
    outcome = cleanse.run(ctx)
    assert outcome.figures["dropped_by_reason"]["personal_data"] == 1
    ledger = pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
    (row,) = [row for row in ledger if row["reason"] == "personal_data"]
    assert (row["url"], row["detail"]) == (f"{HOST}/personal", "card,passport")


def test_intermediate_shards_hold_no_personal_value_either(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    gate = ClosingGate(after=len(planted_pages()) + 10)
    ctx, _ = context(root, gate)
    with pytest.raises(HardPause):
        cleanse.run(ctx)
    shards = [path.read_text(encoding="utf-8") for path in root.rglob("*.jsonl")]
    shards = [text for text in shards if '"personal_data"' in text]
    assert shards
    assert not any(value in text for text in shards for value in VALUES)


def test_flagged_text_is_in_the_safety_data_alone(done):
    root, outcome, _ = done
    flagged = [row for row in rows(root, "safety") if row["label"] == "DENY"]
    assert len(flagged) == 4
    assert all(row["text"] == FLAGGED and row["categories"] == ["adult"] for row in flagged[:1])
    assert all(row["response"] for row in flagged)
    harmless = [row for row in rows(root, "safety") if row["label"] == "ALLOW"]
    assert len(harmless) == 4
    assert not any(row["response"] for row in harmless)
    for name in ("corpus", "instruction"):
        assert not any(FLAGGED in str(row) for row in rows(root, name))
    assert outcome.figures["labels"]["DENY"] == 4
    assert "detection and refusal only" in (root / "cleanse/dataset_card.md").read_text()


def test_pairs_carry_rule_url_and_licence_and_survive_a_page_too_short_for_the_corpus(done):
    root, outcome, _ = done
    found = {row["url"].removeprefix(HOST): row for row in rows(root, "instruction")}
    assert found["/faq"]["instruction"] == QUESTION
    assert found["/faq"]["rule"] == "faq_json_ld"
    assert found["/faq"]["licence"] == "CC-BY-4.0"
    assert found["/good/05"]["rule"] == "title_lead"
    by_rule = outcome.figures["pairs_by_rule"]
    assert sum(by_rule.values()) == len(rows(root, "instruction"))


def test_no_near_duplicate_and_no_group_crosses_the_split(done):
    root, *_ = done
    everything = [
        (row["group"], row["split"], shingles(row.get("text") or row["input"] + row["output"]))
        for name in ("corpus", "instruction", "safety")
        for row in rows(root, name)
    ]
    split_of = {}
    for group, split, _ in everything:
        assert split_of.setdefault(group, split) == split
    assert set(split_of.values()) == set(SPLITS)
    for place, (_, split, grams) in enumerate(everything):
        for _, other, others in everything[:place]:
            assert split == other or jaccard(grams, others) < 0.8


def test_thinking_samples_have_four_parts_and_say_which_are_synthetic(done):
    root, outcome, _ = done
    finals = {row["id"]: row["output"] for row in rows(root, "instruction")}
    found = rows(root, "thinking")
    assert len(found) == len(finals) + 4
    for row in found:
        parser = ThinkParser()
        parser.feed(row["output"].encode())
        thought = parser.finish(ended=True)
        assert thought.status is ParseStatus.COMPLETE
        human = row["label"] == "ALLOW"
        assert row["synthetic"] == [part.value for part in Part][: 3 if human else 4]
        assert thought.final in finals.values() if human else thought.final
    assert outcome.figures["thinking_left_out"] == 0


def test_datasets_reads_the_files_with_the_documented_columns(done):
    root, *_ = done
    columns = {
        "corpus": "id url host title text date language licence group",
        "instruction": "id instruction input output rule url host licence group",
        "safety": "id text label categories response url group",
        "thinking": "id instruction input output label synthetic rule url host licence group",
    }
    for name, expected in columns.items():
        for split in SPLITS:
            schema = pq.read_schema(root / "cleanse" / name / f"{split}.parquet")
            assert schema.names == expected.split()
            assert b"huggingface" in schema.metadata


def test_the_outcome_names_every_file_and_running_again_changes_nothing(done):
    root, outcome, _ = done
    assert {path.relative_to(root / "cleanse").as_posix() for path in outcome.outputs} == set(
        hashes(root)
    )
    before = hashes(root)
    ctx, _ = context(root)
    assert cleanse.run(ctx) == outcome
    assert hashes(root) == before


@pytest.mark.parametrize(
    "settings",
    [
        {"shard_documents": 7},
        {"shard_documents": 5, "workers": 2, "pool_min_documents": 0},
    ],
)
def test_shards_and_workers_do_not_change_the_data(tmp_path, crawl, done, settings):
    root = new_run(tmp_path, crawl)
    ctx, _ = context(root, **settings)
    cleanse.run(ctx)
    assert hashes(root) == hashes(done[0])


class ClosingGate(OpenGate):
    """A gate that closes for good at its nth point."""

    def __init__(self, after):
        self.left = after

    @property
    def requested(self):
        return self.left <= 0

    def point(self, save=None):
        self.left -= 1
        if self.left <= 0:
            raise HardPause


def test_a_hard_pause_anywhere_and_a_resume_give_the_same_data(tmp_path, crawl, done):
    root = new_run(tmp_path, crawl)
    random_ = random.Random(5)
    pauses = 0
    while True:
        gate = ClosingGate(random_.randrange(5, 60) * (1 + pauses))
        ctx, _ = context(root, gate, shard_documents=6)
        try:
            outcome = cleanse.run(ctx)
            break
        except HardPause:
            pauses += 1
    assert pauses >= 3
    assert outcome.digest == done[1].digest
    assert hashes(root) == hashes(done[0])


def test_what_other_code_left_half_done_is_not_used(tmp_path, crawl, done, monkeypatch):
    """The name of the work folder covers the code: another version begins anew, and says so."""
    root = new_run(tmp_path, crawl)
    ctx, _ = context(root, ClosingGate(after=40), shard_documents=6)
    monkeypatch.setattr(pipeline, "code_digest", lambda: "an older version")
    with pytest.raises(HardPause):
        cleanse.run(ctx)
    (before,) = (root / "cleanse" / "work").glob("*/prepared")
    for shard in before.glob("*.jsonl"):
        shard.write_text("what older code made of it\n")
    monkeypatch.undo()
    ctx, emit = context(root, shard_documents=6)
    cleanse.run(ctx)
    assert not before.parent.exists()
    assert hashes(root) == hashes(done[0])
    assert any("begins anew" in str(values) for kind, values in emit.events if kind == "log")


def test_the_digest_of_the_code_covers_its_modules_and_tables(tmp_path, monkeypatch):
    before = pipeline.code_digest()
    package = tmp_path / "package"
    shutil.copytree(Path(pipeline.__file__).parent, package)
    monkeypatch.setattr(pipeline.resources, "files", lambda _: package)
    assert pipeline.code_digest() == before
    for name in ("pii_rules.py", "surnames.txt", "kana_trigrams.npz"):
        with (package / name).open("ab") as file:
            file.write(b"\n")
        assert pipeline.code_digest() != before
        before = pipeline.code_digest()


def test_a_hard_pause_ends_the_workers(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    gate = ClosingGate(2)
    ctx, _ = context(root, gate, shard_documents=5, workers=2, pool_min_documents=0)
    with pytest.raises(HardPause):
        cleanse.run(ctx)
    assert _workers_below(os.getpid()) == []


def _killed(root, settings, delay_s):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cleanse.killable", str(root), json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=delay_s)
        return output.strip() if process.returncode == 0 else None
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return None


def _kill_until_done(root, settings, seed, kills):
    random_ = random.Random(seed)
    killed = 0
    while killed < kills:
        finished = _killed(root, settings, random_.uniform(0.8, 3.0))
        if finished is not None:
            return finished
        killed += 1
    return _killed(root, settings, 120)


def test_sigkill_of_the_phase_and_a_resume_give_the_same_bytes(tmp_path, crawl, done):
    root = new_run(tmp_path, crawl)
    settings = {"shard_documents": 4, "workers": 2, "pool_min_documents": 0}
    assert _kill_until_done(root, settings, seed=1, kills=3) == done[1].digest
    assert hashes(root) == hashes(done[0])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_sigkill_at_many_moments_gives_the_same_bytes(tmp_path, crawl, done, seed):
    root = new_run(tmp_path, crawl)
    settings = {"shard_documents": 2, "workers": seed % 3 + 1, "pool_min_documents": 0}
    assert _kill_until_done(root, settings, seed=seed, kills=8) == done[1].digest
    assert hashes(root) == hashes(done[0])


def _workers_below(pid):
    return [child for child in psutil.Process(pid).children(recursive=True) if _is_worker(child)]


def _is_worker(process):
    try:
        return any("forkserver" in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_workers_die_with_a_killed_phase(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    settings = {"shard_documents": 1, "workers": 2, "pool_min_documents": 0}
    marker = str(root)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cleanse.killable", marker, json.dumps(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    deadline = time.monotonic() + 30
    workers: list[psutil.Process] = []
    while not workers and process.poll() is None and time.monotonic() < deadline:
        workers = _workers_below(process.pid)
        time.sleep(0.02)
    assert workers
    everything = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert alive == []


def test_pages_of_an_earlier_run_are_dropped_also_with_small_changes(tmp_path, done):
    pages = [
        Crawled(f"{HOST}/again", page("記事3", prose(3, 6))),
        Crawled(f"{HOST}/almost", page("記事4", edited(prose(4, 6), 8, 1))),
        Crawled(f"{HOST}/new", page("新しい記事", prose(777, 6))),
    ]
    root = tmp_path / "second"
    write_crawl(root / "crawl", pages)
    ctx, _ = context(root, earlier_runs=[str(done[0])])
    outcome = cleanse.run(ctx)
    assert [row["url"] for row in rows(root, "corpus")] == [f"{HOST}/new"]
    assert outcome.figures["dropped_by_reason"] == {"in_earlier_run": 2}
    assert set(outcome.extra_inputs) == {"earlier_000", "earlier_001", "earlier_002"}


def test_an_earlier_run_without_a_corpus_is_an_error_that_names_it(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    ctx, _ = context(root, earlier_runs=[str(tmp_path / "nothing")])
    with pytest.raises(InputMissing, match="no finished corpus"):
        cleanse.run(ctx)


def test_a_long_passage_is_cut_from_the_later_page_and_the_ledger_says_so(tmp_path):
    shared = prose(500, 3)
    pages = [
        Crawled(f"{HOST}/a", page("一つ目", f"{prose(501, 8)}\n{shared}")),
        Crawled(f"{HOST}/b", page("二つ目", f"{shared}\n{prose(502, 8)}")),
    ]
    root = tmp_path / "run"
    write_crawl(root / "crawl", pages)
    ctx, _ = context(root, max_output_characters=300)
    outcome = cleanse.run(ctx)
    texts = {row["url"]: row["text"] for row in rows(root, "corpus")}
    assert shared in texts[f"{HOST}/a"]
    assert texts[f"{HOST}/b"] == f"# 二つ目\n{prose(502, 8)}"
    assert outcome.figures["pages_with_repeated_passages"] == 1
    ledger = pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
    assert [row["url"] for row in ledger if row["step"] == "passages"] == [f"{HOST}/b"]


def test_a_damaged_record_is_dropped_with_its_reason_and_the_rest_goes_on(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    index = root / "crawl" / "pages.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    lines[0]["sha256"] = "0" * 64
    lines[1]["offset"] += 3
    lines[2]["warc"] = "missing.warc.gz"
    lines[3]["charset"] = "klingon"
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ctx, _ = context(root, max_page_bytes=100_000)
    reasons = cleanse.run(ctx).figures["dropped_by_reason"]
    assert reasons["record_damaged"] == 3
    assert reasons["unknown_charset"] == 1


def test_a_missing_or_broken_index_says_what_and_where(tmp_path, crawl):
    root = new_run(tmp_path, crawl)
    ctx, _ = context(root)
    index = root / "crawl" / "pages.jsonl"
    index.write_text(index.read_text() + "{broken\n")
    with pytest.raises(InputInvalid, match=f"pages.jsonl:{len(planted_pages()) + 1}"):
        cleanse.run(ctx)
    index.unlink()
    with pytest.raises(InputMissing, match="no page index"):
        cleanse.run(ctx)


def test_a_crawl_without_one_good_page_is_an_error_that_names_the_reasons(tmp_path):
    root = tmp_path / "run"
    write_crawl(root / "crawl", [Crawled(f"{HOST}/a", page("短い", "短い文です。"))])
    ctx, _ = context(root)
    with pytest.raises(DataError, match="too_short"):
        cleanse.run(ctx)


def test_live_figures_end_where_the_outcome_begins(done):
    _, outcome, emit = done
    stats = [values["values"] for kind, values in emit.events if kind == "stats"]
    assert stats[-1]["personal_data"] == outcome.figures["personal_data_masked"]
    assert stats[-1]["labels"] == outcome.figures["labels"]
    assert {"documents_per_s", "kept", "dropped", "duplicates"} <= set(stats[-1])
    assert stats[-1]["bytes_in"] == outcome.figures["payload_bytes_in"]
    assert stats[-1]["bytes_out"] >= outcome.figures["text_bytes_out"] > 0
    languages = stats[-1]["languages"]
    others = sum(count for code, count in languages.items() if code != "ja")
    assert others == outcome.figures["dropped_by_reason"]["not_japanese"]
    assert languages["ja"] >= outcome.figures["documents_kept"]
    progress = [values for kind, values in emit.events if kind == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"]

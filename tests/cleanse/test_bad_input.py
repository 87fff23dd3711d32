"""Input that no page should have: each is counted with a reason, and the rest goes on."""

import json

import pyarrow.parquet as pq
import pytest

from so8t_core.cleanse.extract import extract
from so8t_core.contract.settings.cleanse import CleanseSettings
from so8t_core.phases import cleanse
from tests.cleanse.crawls import Crawled, context, write_crawl
from tests.cleanse.samples import page, prose
from tests.cleanse.test_phase import HOST, rows

BROKEN_JSON = '<script type=\'application/ld+json\'>{"@type": "FAQPage", </script>'
CASES = {
    "empty": ("", "no_text"),
    "blank": (" \n\t" * 500, "no_text"),
    "no_markup": ("ただの文字" * 3, "too_short"),
    "zeros": ("\x00" * 5000, "no_text"),
    "unclosed": ("<div><p>" * 200 + "終わらない。", "too_short"),
    "huge": ("<p>" + "長い文章です。" * 60_000, "too_large"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run over bad pages, deep ones, and good ones."""
    root = tmp_path_factory.mktemp("bad") / "run"
    pages = [Crawled(f"{HOST}/{name}", body) for name, (body, _) in CASES.items()]
    pages += [
        Crawled(f"{HOST}/nested", "<div>" * 20_000 + prose(1, 2) + "</div>" * 20_000),
        Crawled(f"{HOST}/broken_json", page("壊れた注釈", prose(2, 5), head=BROKEN_JSON)),
        Crawled(f"{HOST}/wrong_charset", page("文字", prose(3, 5))),
        *(Crawled(f"{HOST}/good/{n}", page("良い記事", prose(50 + n, 5))) for n in range(4)),
    ]
    write_crawl(root / "crawl", pages)
    index = root / "crawl" / "pages.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    for line in lines:
        if line["url"].endswith("wrong_charset"):
            line["charset"] = "euc-jp"
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ctx, _ = context(root, max_page_bytes=1_000_000)
    return root, cleanse.run(ctx)


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_is_dropped_with_its_reason_in_the_ledger(done, name):
    root, _ = done
    ledger = pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
    reasons = [row["reason"] for row in ledger if row["url"] == f"{HOST}/{name}"]
    assert reasons == [CASES[name][1]]


def test_the_rest_goes_on_and_every_page_is_accounted_for(done):
    root, outcome = done
    kept = {row["url"] for row in rows(root, "corpus")}
    assert {f"{HOST}/good/{n}" for n in range(4)} <= kept
    assert f"{HOST}/broken_json" in kept
    figures = outcome.figures
    assert figures["broken_json_ld_blocks"] == 1
    assert figures["documents_in"] == figures["documents_kept"] + figures["documents_dropped"]
    ledger = pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
    (wrong,) = [row for row in ledger if row["url"] == f"{HOST}/wrong_charset"]
    assert wrong["reason"] == "mojibake"


def test_a_warc_file_that_ends_early_loses_its_own_pages_alone(tmp_path):
    root = tmp_path / "run"
    pages = [Crawled(f"{HOST}/{n}", page("記事", prose(n, 5))) for n in range(6)]
    write_crawl(root / "crawl", pages)
    (warc,) = (root / "crawl" / "warc").iterdir()
    whole = warc.read_bytes()
    warc.write_bytes(whole[: len(whole) // 2])
    ctx, _ = context(root)
    outcome = cleanse.run(ctx)
    assert 1 <= outcome.figures["documents_kept"] < 6
    damaged = outcome.figures["dropped_by_reason"]["record_damaged"]
    assert damaged == 6 - outcome.figures["documents_kept"]


def test_a_record_of_fifty_megabytes_is_counted_and_not_parsed(tmp_path):
    root = tmp_path / "run"
    big = "<p>" + "大きい。" * (50_000_000 // 12)
    pages = [Crawled(f"{HOST}/big", big), Crawled(f"{HOST}/a", page("記事", prose(1, 5)))]
    write_crawl(root / "crawl", pages)
    ctx, _ = context(root)
    outcome = cleanse.run(ctx)
    assert outcome.figures["dropped_by_reason"] == {"too_large": 1}


@pytest.mark.parametrize(
    "more",
    [
        "<dl><dt>語<dd>" * 240,
        f"<p>[{'] [' * 50_000}]</p>",
        f"<div {' '.join(f'a{number}=x' for number in range(200_000))}>枠</div>",
        "<a href=x>" * 20_000,
        "<ul><li><a href=x>語</a>" * 200,
    ],
    ids=["nested_lists", "brackets", "attributes", "links", "nested_links"],
)
def test_pages_that_once_kept_a_worker_busy_for_minutes_are_read(more):
    extracted = extract(page("庭の話", prose(1), more=more), HOST, CleanseSettings())
    assert extracted is not None
    assert prose(1).split("\n")[0] in extracted.text

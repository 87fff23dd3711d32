"""A crawl folder that is damaged is told of as such, and never taken over as if it were whole."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from so8t_core.contract.errors import StoreError
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.explain import Records, explain
from so8t_core.crawl.politeness import doubled_s

from .site import Site, html
from .trial import kept, quick, run_crawl

A = "http://a.example"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site({f"{A}/": html("/1", "/2"), f"{A}/1": html(), f"{A}/2": html()}) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    root = tmp_path_factory.mktemp("whole")
    run_crawl(root, site)
    return root


def sql(*statements: str) -> Damage:
    def change(crawl: Path) -> None:
        with closing(sqlite3.connect(crawl / "frontier.db")) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    return change


def flips(seed: int) -> Damage:
    def change(crawl: Path) -> None:
        path = crawl / "frontier.db"
        body = bytearray(path.read_bytes())
        dice = random.Random(seed)
        for _ in range(200):
            body[dice.randrange(100, len(body))] = dice.randrange(256)
        path.write_bytes(bytes(body))

    return change


def in_place_of(name: str) -> Damage:
    def change(crawl: Path) -> None:
        shutil.rmtree(crawl / name)
        (crawl / name).write_bytes(b"")

    return change


@pytest.mark.parametrize(
    "damage",
    [
        *(flips(seed) for seed in range(6)),
        sql("UPDATE meta SET value = '99' WHERE name = 'schema_version'"),
        sql("UPDATE meta SET value = 'x' WHERE name = 'schema_version'"),
        sql("UPDATE meta SET value = 'x' WHERE name = 'wave'"),
        sql("UPDATE hosts SET standing = '{'"),
        sql("UPDATE hosts SET standing = '{\"of_a_newer_version\": 1}'"),
        sql("UPDATE pages SET line = '{'"),
        sql("UPDATE robots SET said = '{'", "UPDATE urls SET state = 'queued', wave = NULL"),
        in_place_of("warc"),
    ],
)
def test_a_damaged_folder_says_where_and_what_to_do(
    damage: Damage, whole: Path, site: Site, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    damage(tmp_path / "run" / "crawl")
    with pytest.raises(StoreError) as caught:
        run_crawl(tmp_path / "run", site)
    assert str(tmp_path) in (caught.value.where or "")
    assert caught.value.hint


@pytest.mark.parametrize("table", ["hosts SET standing", "pages SET line", "robots SET said"])
def test_explain_says_so_too(table: str, whole: Path, site: Site, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    sql(f"UPDATE {table} = '{{'")(tmp_path / "run" / "crawl")
    settings = CrawlSettings.model_validate(quick(site))
    with (
        closing(Records(tmp_path / "run" / "crawl" / "frontier.db")) as records,
        pytest.raises(StoreError, match="cannot be read"),
    ):
        explain(f"{A}/1", settings, records, ask=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda crawl: (crawl / "frontier.db").write_bytes(b""),
        lambda crawl: (crawl / "frontier.db").write_bytes(b"no database" * 1000),
        sql("UPDATE pages SET line = '{'"),
        sql("UPDATE pages SET line = '{}'"),
    ],
    ids=["empty", "garbage", "no-json", "no-record"],
)
def test_an_earlier_crawl_that_cannot_be_read_is_named(
    damage: Damage, whole: Path, site: Site, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "old")
    damage(tmp_path / "old" / "crawl")
    with pytest.raises(StoreError, match="earlier crawl") as caught:
        run_crawl(tmp_path / "new", site, revisit=str(tmp_path / "old" / "crawl"))
    assert str(tmp_path / "old") in caught.value.where


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_damaged_records_of_an_earlier_crawl_are_not_taken_over(
    keep: float, whole: Path, site: Site, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "old")
    (archive,) = (tmp_path / "old" / "crawl" / "warc").iterdir()
    body = archive.read_bytes()
    flipped = bytes(octet ^ (place % 97 == 0) for place, octet in enumerate(body))
    archive.write_bytes(flipped[: int(len(body) * keep)])
    outcome = run_crawl(tmp_path / "new", site, revisit=str(tmp_path / "old" / "crawl"))
    assert kept(tmp_path / "new") == [f"{A}/", f"{A}/1", f"{A}/2"]
    assert any("damaged" in note for note in outcome.notes)
    (made,) = (tmp_path / "new" / "crawl" / "warc").iterdir()
    with made.open("rb") as file:
        records = ArchiveIterator(file, check_digests="raise")
        responses = 0
        for record in records:
            record.content_stream().read()
            responses += record.rec_type == "response"
    assert responses == 3


def test_waits_are_not_doubled_beyond_all_numbers() -> None:
    assert doubled_s(0.0, 5_000) == 0.0
    assert doubled_s(2.0, 3) == 16.0
    assert doubled_s(60.0, 5_000) == doubled_s(60.0, 6_000) < 1e9

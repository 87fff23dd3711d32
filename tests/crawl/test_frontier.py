import asyncio
import sqlite3
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from so8t_core.contract.errors import StoreError
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.permission import Answer
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.robots import parse
from so8t_core.crawl.url import host_of
from so8t_core.crawl.waves import Budgets
from so8t_core.crawl.windows import Entry


def opened(folder: Path, fingerprint: str = "f") -> Frontier:
    return Frontier(folder / "frontier.db", fingerprint)


def add(
    frontier: Frontier, *urls: str, depth: int = 0, hops: int = 0, tier: int = 2,
    why: Refusal | None = None,
) -> None:  # fmt: skip
    frontier.add([(url, host_of(url), tier, why) for url in urls], depth=depth, hops=hops)


def budgets(
    max_pages: int = 99,
    tiers: Mapping[int, int] | None = None,
    host_max_pages: int | None = None,
    family: int = 99,
) -> Budgets:
    limits = {"max_urls_per_query_page": family, "max_urls_per_calendar": family}
    return Budgets(max_pages, (tiers or {}).get, lambda _: host_max_pages, limits)


def open_wave(frontier: Frontier, limits: Budgets | None = None) -> int | None:
    return asyncio.run(frontier.open_wave(limits or budgets()))


def page(url: str) -> dict[str, object]:
    licence = {"id": "none", "decision": "unknown"}
    return {"url": url, "licence": licence, "charset": "utf-8", "undecodable_chars": 0}


def drain(frontier: Frontier) -> list[str]:
    """The URLs of the open wave in the order in which hosts hand them out; all are kept."""
    urls = []
    for host in frontier.wave_hosts():
        while entry := frontier.next(host, 0.0):
            frontier.keep(entry, page(entry.url))
            urls.append(entry.url)
    frontier.commit()
    return urls


def test_waves_go_by_depth_then_url_and_never_beyond_the_limit(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, "http://a.jp/2", "http://a.jp/1", depth=1)
        add(frontier, "http://a.jp/0")
        assert open_wave(frontier, budgets(2)) == 1
        assert drain(frontier) == ["http://a.jp/0"]
        assert open_wave(frontier, budgets(2)) == 2
        assert drain(frontier) == ["http://a.jp/1"]
        assert open_wave(frontier, budgets(2)) is None
        assert frontier.census.counts()["queued"] == 1


def test_trusted_tiers_go_first_whatever_their_depth_and_each_has_its_limit(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, "http://c.jp/", tier=3)
        add(frontier, "http://a.jp/1", "http://a.jp/2", depth=5, tier=1)
        add(frontier, "http://b.jp/1", "http://b.jp/2", tier=2)
        limits = budgets(tiers={2: 1})
        waves = []
        while open_wave(frontier, limits) is not None:
            waves.append(drain(frontier))
        assert waves == [["http://a.jp/1", "http://a.jp/2"], ["http://b.jp/1"], ["http://c.jp/"]]


def test_a_host_whose_pages_are_used_up_is_refused_with_the_setting(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, *(f"http://a.jp/{number}" for number in range(4)), "http://b.jp/")
        limits = budgets(host_max_pages=2)
        assert open_wave(frontier, limits) == 1
        assert drain(frontier) == ["http://a.jp/0", "http://a.jp/1", "http://b.jp/"]
        assert open_wave(frontier, limits) is None
        assert frontier.census.rules("refused") == {"host-pages": 2}


def test_variants_of_one_page_are_followed_up_to_a_limit_over_all_waves(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, *(f"http://a.jp/s?q={number}" for number in range(3)))
        add(frontier, "http://a.jp/s?q=3", "http://a.jp/t?q=1", "http://a.jp/2024/05", depth=1)
        add(frontier, *(f"http://a.jp/2025/{month:02}" for month in range(1, 5)), depth=1)
        kept = []
        while open_wave(frontier, budgets(family=2)) is not None:
            kept += drain(frontier)
        assert kept == [
            *("http://a.jp/s?q=0", "http://a.jp/s?q=1"),
            *("http://a.jp/2024/05", "http://a.jp/2025/01", "http://a.jp/t?q=1"),
        ]
        assert frontier.census.rules("refused") == {"trap-family": 5}


def test_a_wave_that_keeps_too_little_is_followed_by_one_of_the_same_depth(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, *(f"http://a.jp/{number}" for number in range(3)))
        assert open_wave(frontier, budgets(1)) == 1
        entry = frontier.next("a.jp", 0.0)
        assert entry is not None
        frontier.fail(entry, Refusal("http-404", "server"))
        assert open_wave(frontier, budgets(1)) == 2
        assert drain(frontier) == ["http://a.jp/1"]


@pytest.mark.parametrize("durable_between", [False, True], ids=["at-once", "one-by-one"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_what_is_merged_does_not_depend_on_the_order_of_finding(
    tmp_path: Path, order: tuple[int, ...], durable_between: bool
) -> None:
    with opened(tmp_path) as frontier:
        findings = [
            (Refusal("depth", "s"), 3, 0),
            (None, 2, 0),
            (None, 1, 2),
        ]
        for place in order:
            why, depth, hops = findings[place]
            add(frontier, "http://a.jp/", why=why, depth=depth, hops=hops)
            if durable_between:
                frontier.commit()
        open_wave(frontier)
        expected = Entry("http://a.jp/", "page", tier=2, depth=1, hops=0, tries=0)
        assert frontier.next("a.jp", 0.0) == expected


def test_a_decided_url_is_not_queued_again(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, "http://a.jp/")
        open_wave(frontier)
        drain(frontier)
        add(frontier, "http://a.jp/")
        frontier.commit()
        assert frontier.census.counts()["queued"] == 0


def test_only_what_was_committed_outlives_a_kill_and_flights_are_queued_again(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, "http://a.jp/1", "http://a.jp/2")
        open_wave(frontier)
        entry = frontier.next("a.jp", 0.0)
        assert entry is not None
        frontier.tally("requests")
        frontier.commit()
        frontier.keep(entry, page(entry.url))
        frontier.tally("requests")
    with opened(tmp_path) as frontier:
        assert frontier.resumed
        assert open_wave(frontier) == 1
        expected = {"queued": 2, "done": 0, "refused": 0, "failed": 0, "deferred": 0, "kept": 0}
        assert frontier.census.counts() == expected
        assert frontier.tallies() == {"requests": 1.0}
        assert frontier.hosts.kept("a.jp") == 0


def test_more_urls_than_are_read_ahead_are_handed_out_once_each(tmp_path: Path) -> None:
    urls = [f"http://a.jp/{number:03}" for number in range(200)]
    with opened(tmp_path) as frontier:
        add(frontier, *urls)
        assert open_wave(frontier, budgets(1000)) == 1
        assert drain(frontier) == urls


def test_a_retry_waits_for_its_time_and_counts_over_a_kill_too(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, "http://a.jp/")
        open_wave(frontier)
        entry = frontier.next("a.jp", 0.0)
        assert entry is not None
        frontier.retry(entry, 50.0)
        assert frontier.next("a.jp", 49.0) is None
        assert frontier.next_due("a.jp") == 50.0
        frontier.commit()
    with opened(tmp_path) as frontier:
        open_wave(frontier)
        assert frontier.next("a.jp", 49.0) is None
        assert frontier.next_due("a.jp") == 50.0
        again = frontier.next("a.jp", 50.0)
        assert again is not None
        assert again.tries == 1


def test_other_settings_start_a_new_crawl(tmp_path: Path) -> None:
    with opened(tmp_path, "one") as frontier:
        add(frontier, "http://a.jp/")
        frontier.commit()
    with opened(tmp_path, "two") as frontier:
        assert not frontier.resumed
        assert frontier.census.counts()["queued"] == 0


def test_answers_and_patience_outlive_a_kill(tmp_path: Path) -> None:
    group = parse(
        b"User-agent: *\nDisallow: /a\nCrawl-delay: 7\nSitemap: http://a.jp/s\n"
        b"Content-Signal: ai-train=no\nUser-agent: GPTBot\nDisallow: /b",
        "x",
        ("GPTBot",),
    )
    answer = Answer(
        "http://a.jp", "rules", "HTTP 200", 5.0, group,
        reserved=(("tdmrep.json", (("disallow", "/c"),)),), unheard=(("ai.txt", "HTTP 503"),),
    )  # fmt: skip
    with opened(tmp_path) as frontier:
        frontier.store_answer(answer)
        assert frontier.stored_answer("http://a.jp") == answer
        frontier.hosts.of("a.jp").hold(99.5, "HTTP 503")
        frontier.hosts.of("a.jp").suspend("HTTP 503")
        frontier.commit()
    with opened(tmp_path) as frontier:
        assert frontier.stored_answer("http://a.jp") == answer
        assert frontier.crawl_delay_s("a.jp") == 7.0
        standing = frontier.hosts.met()["a.jp"]
        assert (standing.not_before, standing.suspended) == (99.5, True)


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with opened(tmp_path):
        assert stat.S_IMODE((tmp_path / "frontier.db").stat().st_mode) == 0o600


def test_a_damaged_file_or_one_of_the_future_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frontier.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        opened(tmp_path)
    (tmp_path / "frontier.db").unlink()
    with opened(tmp_path) as frontier:
        frontier.set_meta("schema_version", "99")
    with pytest.raises(StoreError, match="newer version"):
        opened(tmp_path)
    with sqlite3.connect(tmp_path / "frontier.db") as db:
        row = db.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
        assert row == ("99",)
    db.close()


def fill_up(frontier: Frontier) -> None:
    """From now on the database may not grow: SQLite answers as on a full disk."""
    db = frontier._store.writer
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_says_so_and_what_was_committed_is_there_after_it(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        add(frontier, "http://a.jp/kept")
        frontier.commit()
        fill_up(frontier)
        add(frontier, *(f"http://a.jp/{number:06d}" for number in range(5_000)))
        with pytest.raises(StoreError, match="the disk is full") as caught:
            frontier.commit()
        assert "Free some space and resume" in caught.value.hint
    with opened(tmp_path) as frontier:
        assert frontier.census.counts()["queued"] == 1
        open_wave(frontier)
        assert drain(frontier) == ["http://a.jp/kept"]


def test_a_disk_that_fills_while_a_wave_opens_says_so_and_the_wave_opens_later(
    tmp_path: Path,
) -> None:
    urls = [f"http://a.jp/{number:06d}" for number in range(5_000)]
    with opened(tmp_path) as frontier:
        add(frontier, *urls)
        frontier.commit()
        fill_up(frontier)
        with pytest.raises(StoreError, match="the disk is full"):
            open_wave(frontier, budgets(9_999))
    with opened(tmp_path) as frontier:
        open_wave(frontier, budgets(9_999))
        assert drain(frontier) == urls


def test_a_frontier_of_an_older_version_begins_anew(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "frontier.db") as db:
        db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute("INSERT INTO meta VALUES ('schema_version', '1'), ('fingerprint', 'f')")
        db.execute("CREATE TABLE urls (url TEXT PRIMARY KEY, state TEXT, page TEXT)")
    db.close()
    with opened(tmp_path) as frontier:
        assert not frontier.resumed
        add(frontier, "http://a.jp/")
        assert open_wave(frontier) == 1

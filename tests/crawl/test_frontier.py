import sqlite3
from pathlib import Path

import pytest

from so8t_core.contract.errors import StoreError
from so8t_core.crawl.frontier import Entry, Frontier, Hold
from so8t_core.crawl.permission import RobotsAnswer
from so8t_core.crawl.robots import parse
from so8t_core.crawl.scope import Refusal


def opened(folder: Path, fingerprint: str = "f") -> Frontier:
    return Frontier(folder / "frontier.db", fingerprint)


def drain(frontier: Frontier, wave: int, host: str) -> list[str]:
    """The URLs of a wave's host in the order in which they are handed out; all are kept."""
    urls = []
    while entry := frontier.next(wave, host, 0.0):
        frontier.start(entry)
        frontier.keep(entry.url, {"url": entry.url})
        urls.append(entry.url)
    return urls


def test_waves_go_by_depth_then_url_and_never_beyond_the_limit(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        frontier.add([("http://a.jp/2", None), ("http://a.jp/1", None)], depth=1)
        frontier.add([("http://a.jp/0", None)], depth=0)
        assert frontier.open_wave(2) == 1
        assert drain(frontier, 1, "a.jp") == ["http://a.jp/0"]
        assert frontier.open_wave(2) == 2
        assert drain(frontier, 2, "a.jp") == ["http://a.jp/1"]
        assert frontier.open_wave(2) is None
        assert frontier.census.counts()["queued"] == 1


def test_a_wave_that_keeps_too_little_is_followed_by_one_of_the_same_depth(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        frontier.add([(f"http://a.jp/{number}", None) for number in range(3)], depth=0)
        assert frontier.open_wave(1) == 1
        entry = frontier.next(1, "a.jp", 0.0)
        assert entry is not None
        frontier.fail(entry, Refusal("http-404", "server"))
        assert frontier.open_wave(1) == 2
        assert drain(frontier, 2, "a.jp") == ["http://a.jp/1"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_what_is_merged_does_not_depend_on_the_order_of_finding(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    with opened(tmp_path) as frontier:
        findings = [
            (Refusal("depth", "s"), 3, 0),
            (None, 2, 0),
            (None, 1, 2),
        ]
        for place in order:
            why, depth, hops = findings[place]
            frontier.add([("http://a.jp/", why)], depth=depth, hops=hops)
        frontier.open_wave(1)
        assert frontier.next(1, "a.jp", 0.0) == Entry("http://a.jp/", depth=1, hops=0, tries=0)


def test_a_decided_url_is_not_queued_again(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        frontier.add([("http://a.jp/", None)], depth=0)
        frontier.open_wave(9)
        drain(frontier, 1, "a.jp")
        frontier.add([("http://a.jp/", None)], depth=0)
        assert frontier.census.counts()["queued"] == 0


def test_only_what_was_committed_outlives_a_kill_and_flights_are_queued_again(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as frontier:
        frontier.add([("http://a.jp/1", None), ("http://a.jp/2", None)], depth=0)
        frontier.open_wave(9)
        entry = frontier.next(1, "a.jp", 0.0)
        assert entry is not None
        frontier.start(entry)
        frontier.tally("requests")
        frontier.commit()
        frontier.keep(entry.url, {"url": entry.url})
        frontier.tally("requests")
    with opened(tmp_path) as frontier:
        assert frontier.resumed
        assert frontier.open_wave(9) == 1
        assert frontier.census.counts() == {
            "queued": 2,
            "in-flight": 0,
            "done": 0,
            "refused": 0,
            "failed": 0,
            "kept": 0,
        }
        assert frontier.tallies() == {"requests": 1.0}


def test_a_retry_waits_for_its_time_and_counts(tmp_path: Path) -> None:
    with opened(tmp_path) as frontier:
        frontier.add([("http://a.jp/", None)], depth=0)
        frontier.open_wave(9)
        entry = frontier.next(1, "a.jp", 0.0)
        assert entry is not None
        frontier.start(entry)
        frontier.retry(entry, 50.0)
        assert frontier.next(1, "a.jp", 49.0) is None
        assert frontier.next_due(1, "a.jp") == 50.0
        again = frontier.next(1, "a.jp", 50.0)
        assert again is not None
        assert again.tries == 1


def test_other_settings_start_a_new_crawl(tmp_path: Path) -> None:
    with opened(tmp_path, "one") as frontier:
        frontier.add([("http://a.jp/", None)], depth=0)
        frontier.commit()
    with opened(tmp_path, "two") as frontier:
        assert not frontier.resumed
        assert frontier.census.counts()["queued"] == 0


def test_robots_and_patience_outlive_a_kill(tmp_path: Path) -> None:
    group = parse(
        b"User-agent: *\nDisallow: /a\nCrawl-delay: 7\nSitemap: http://a.jp/s\nUser-agent: GPTBot\nDisallow: /b",
        "x",
        ("GPTBot",),
    )
    answer = RobotsAnswer("http://a.jp", "rules", "HTTP 200", 5.0, group)
    hold = Hold("a.jp", 99.5, suspended=True, why="HTTP 503")
    with opened(tmp_path) as frontier:
        frontier.store_robots(answer)
        frontier.hold(hold)
        frontier.commit()
    with opened(tmp_path) as frontier:
        assert frontier.robots_answer("http://a.jp") == answer
        assert frontier.crawl_delay_s("a.jp") == 7.0
        assert frontier.holds() == [hold]


def test_a_damaged_file_or_one_of_the_future_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frontier.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        opened(tmp_path)
    (tmp_path / "frontier.db").unlink()
    with opened(tmp_path) as frontier:
        frontier.set_meta("schema_version", "99")
        frontier.commit()
    with pytest.raises(StoreError, match="newer version"):
        opened(tmp_path)
    with sqlite3.connect(tmp_path / "frontier.db") as db:
        assert db.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == (
            "99",
        )
    db.close()

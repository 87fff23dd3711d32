"""Who asks for time gets it: the whole host, whatever port or file the answer came from."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from so8t_core.contract.errors import Unreachable
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.explain import Records, explain
from so8t_core.crawl.store import Store

from .site import Answer, Reply, Site, html
from .trial import index, kept, outcome_of, quick, run_crawl

A = "http://a.example"
OTHER_PORT = "http://a.example:8081"
B = "http://b.example"
DAY = {"Retry-After": "86400"}
AWAY = ("deferred", "retry-after")


def all_is_over(root: Path) -> None:
    """As if the time that hosts asked for had gone by."""
    with closing(sqlite3.connect(root / "crawl" / "frontier.db")) as db:
        db.execute("UPDATE urls SET not_before = 1 WHERE state = 'deferred'")
        db.execute("UPDATE hosts SET standing = json_set(standing, '$.away_until', 1.0)")
        db.commit()


def test_other_ports_of_the_host_are_left_alone_too_and_its_urls_set_aside(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {
        f"{A}/": html("/1", "/2", f"{OTHER_PORT}/3"),
        f"{A}/1": Reply(429, headers=DAY),
    }
    with Site(pages) as site:
        outcome = run_crawl(tmp_path, site)
        assert site.urls[-1] == f"{A}/1"
        assert [url for url in site.urls if url.endswith("robots.txt")] == [f"{A}/robots.txt"]
        settings = CrawlSettings.model_validate(quick(site))
        with closing(Records(tmp_path / "crawl" / "frontier.db")) as records:
            *_, left_alone = explain(f"{A}/new", settings, records, ask=True)
        assert site.urls[-1] == f"{A}/1", "even to explain it is not asked too early"
    for url in (f"{A}/1", f"{A}/2", f"{OTHER_PORT}/3"):
        assert outcome_of(tmp_path, url)[:2] == AWAY
    assert outcome.figures["deferred"] == {"retry-after": 3}
    assert outcome.figures["urls_seen"] == 4
    assert "3 URLs were set aside" in outcome.notes[0]
    with closing(Records(tmp_path / "crawl" / "frontier.db")) as records:
        *_, told = explain(f"{A}/2", settings, records, ask=False)
        *_, unseen = explain(f"{A}/new", settings, records, ask=False)
    assert left_alone == unseen
    until = time.strftime("%Y-%m-%dT", time.gmtime(time.time() + 86_400))
    assert told.answer.startswith(
        f"was deferred retry-after HTTP 429, Retry-After 86400 s: set aside until {until}"
    )
    assert unseen.answer == "would not be fetched: retry-after HTTP 429, Retry-After 86400 s"


@pytest.mark.parametrize("status", [429, 503, 403, 302])
@pytest.mark.parametrize("file", ["robots.txt", ".well-known/tdmrep.json", "ai.txt"])
def test_an_owners_file_that_asks_for_a_day_gets_it(tmp_path: Path, file: str, status: int) -> None:
    pages: dict[str, Answer] = {
        f"{A}/{file}": Reply(status, headers={**DAY, "Location": "/elsewhere"}),
        f"{A}/": html(),
        f"{B}/": html(),
    }
    with Site(pages) as site:
        run_crawl(tmp_path, site, f"{A}/", f"{OTHER_PORT}/", f"{B}/")
        assert [url for url in site.urls if url.startswith(A)][-1] == f"{A}/{file}"
    assert outcome_of(tmp_path, f"{A}/")[:2] == AWAY
    assert outcome_of(tmp_path, f"{OTHER_PORT}/")[:2] == AWAY
    assert kept(tmp_path) == [f"{B}/"]


def test_what_was_set_aside_is_asked_for_when_its_time_has_come(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {
        f"{A}/": html("/1", "/2"),
        f"{A}/1": [Reply(429, headers=DAY), html()],
        f"{A}/2": html("/3"),
        f"{A}/3": html(),
    }
    with Site(pages) as site:
        run_crawl(tmp_path, site)
        asked = len(site.log)
        run_crawl(tmp_path, site)
        assert len(site.log) == asked, "too early"
        all_is_over(tmp_path)
        outcome = run_crawl(tmp_path, site)
    assert kept(tmp_path) == [f"{A}/", f"{A}/1", f"{A}/2", f"{A}/3"]
    assert outcome.figures["deferred"] == {}
    assert {page["url"] for page in index(tmp_path)} == set(kept(tmp_path))


def test_a_host_that_always_asks_for_a_day_ends_after_all_tries(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {f"{A}/": html("/1"), f"{A}/1": Reply(503, headers=DAY)}
    with Site(pages) as site:
        for _ in range(3):
            run_crawl(tmp_path, site, max_retries=1)
            all_is_over(tmp_path)
        assert site.urls.count(f"{A}/1") == 2
    assert outcome_of(tmp_path, f"{A}/1")[:2] == ("failed", "http-503")


def test_a_crawl_that_reached_nothing_starts_afresh_but_not_too_early(tmp_path: Path) -> None:
    with Site({f"{A}/robots.txt": Reply(503, headers=DAY), f"{A}/": html()}) as site:
        for seeds in ([f"{A}/"], [f"{A}/"], [f"{A}/", f"{A}/other-settings"]):
            with pytest.raises(Unreachable) as caught:
                run_crawl(tmp_path, site, *seeds)
            assert "a.example: retry-after HTTP 503, Retry-After 86400 s" in caught.value.where
        assert site.urls == [f"{A}/robots.txt"]


def test_a_robots_file_that_lies_with_a_host_that_is_left_alone_forbids(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {
        f"{B}/robots.txt": Reply(301, headers={"Location": f"{A}/for-b"}),
        f"{A}/for-b": Reply(429, headers=DAY),
        f"{A}/": html(),
        f"{B}/": html(),
    }
    with Site(pages) as site, pytest.raises(Unreachable):
        run_crawl(tmp_path, site, f"{A}/", f"{B}/", delay_s=0.3)
    assert outcome_of(tmp_path, f"{A}/")[:2] == AWAY
    assert outcome_of(tmp_path, f"{B}/")[:2] == ("refused", "robots-unreachable")


def test_the_last_try_for_robots_holds_the_host_as_long_as_it_asks(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {
        f"{A}/robots.txt": [Reply(429, headers={"Retry-After": "1"}), Reply(404)],
        f"{A}/": html(),
    }
    with Site(pages) as site:
        run_crawl(tmp_path, site, f"{A}/", f"{OTHER_PORT}/", max_retries=0)
        assert site.gaps_s("a.example")[0] >= 1.0


def test_answers_of_429_open_the_breaker(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {f"{A}/": html(*(f"/{n}" for n in range(9)))}
    pages |= {f"{A}/{n}": Reply(429) for n in range(9)}
    with Site(pages) as site:
        run_crawl(
            tmp_path, site, max_retries=0, breaker_failures=3, breaker_rest_s=0.2,
            breaker_openings=1,
        )  # fmt: skip
        assert len(site.pages_asked()) == 1 + 4


@pytest.mark.parametrize("value", ["9" * 500, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_all_calendars_is_a_long_one(tmp_path: Path, value: str) -> None:
    pages: dict[str, Answer] = {
        f"{A}/": html("/1"),
        f"{A}/1": Reply(503, headers={"Retry-After": value}),
    }
    with Site(pages) as site:
        run_crawl(tmp_path, site)
    assert outcome_of(tmp_path, f"{A}/1")[:2] == AWAY


def test_a_long_list_of_a_host_is_set_aside_at_once(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {
        f"{A}/": html(*(f"/{n}" for n in range(3000))),
        f"{A}/0": Reply(503, headers=DAY),
    }
    with Site(pages) as site:
        outcome = run_crawl(tmp_path, site, delay_s=0.5, max_pages=9000)
        spent = time.monotonic() - site.log[-1].came_at
    assert outcome.figures["deferred"] == {"retry-after": 3000}
    assert spent < 5.0  # 200 of them at a time, with the delay in between, took 7.5 s


def test_an_emptied_frontier_keeps_who_is_to_be_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "frontier.db")
    soon = float(round(time.time() + 1000))
    for host, standing in (
        ("a", {"not_before": soon, "away_until": 0.0, "why": "HTTP 503", "kept": 3}),
        ("b", {"not_before": 0.0, "away_until": soon, "why": "HTTP 429", "kept": 3}),
        ("c", {"not_before": 1.0, "away_until": 1.0, "why": "HTTP 429", "kept": 3}),
    ):
        store.writer.execute("INSERT INTO hosts VALUES (?, ?)", (host, json.dumps(standing)))
    store.empty()
    left = dict(store.writer.execute("SELECT host, standing FROM hosts").fetchall())
    store.close()
    assert {host: json.loads(text) for host, text in left.items()} == {
        "a": {"not_before": soon, "away_until": 0.0, "why": "HTTP 503"},
        "b": {"not_before": 0.0, "away_until": soon, "why": "HTTP 429"},
    }

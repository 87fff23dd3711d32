"""Which hosts are queued, and what each is asked: no request is made."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.moment import steady_now
from so8t_core.crawl.patience import Patience
from so8t_core.crawl.permission import Answer, Permissions, Quest
from so8t_core.crawl.politeness import Lanes
from so8t_core.crawl.robots import parse
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.turns import Turns
from so8t_core.crawl.url import host_of
from so8t_core.crawl.waves import Budgets
from so8t_core.crawl.windows import Entry

SETTINGS = CrawlSettings(source="web", seeds=("http://a.jp/",), contact="test@example.org")
LIMITS = {"max_urls_per_query_page": 999, "max_urls_per_calendar": 999}
A = "http://a.jp"
B = "http://b.jp"

Open = Callable[..., tuple[Turns, Lanes]]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step and a turn end by their counts: on a busy machine their time is over sooner."""
    for limit in ("_STEP_S", "_TURN_S"):
        monkeypatch.setattr(f"so8t_core.crawl.turns.{limit}", math.inf)


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    with Frontier(tmp_path / "frontier.db", "f") as opened:
        yield opened


@pytest.fixture
def wave(frontier: Frontier) -> Open:
    """Opens a wave of URLs; robots.txt forbids /private to all of the hosts that are known."""

    def open_it(*urls: str, known: bool = True) -> tuple[Turns, Lanes]:
        frontier.add([(url, host_of(url), 2, None) for url in urls], depth=0)
        group = parse(b"User-agent: *\nDisallow: /private", SETTINGS.product_token, ())
        for host in {host_of(url) for url in urls} if known else ():
            origin = f"http://{host}"
            frontier.store_answer(Answer(origin, "rules", "HTTP 200", time.time(), group))
        asyncio.run(frontier.open_wave(Budgets(99_999, lambda _: None, lambda _: None, LIMITS)))
        lanes = Lanes()
        patience = Patience(SETTINGS, Scope(SETTINGS), frontier, lanes)
        permissions = Permissions(frontier, SETTINGS)
        turns = Turns(frontier, permissions, patience, lanes, lambda _: None, lambda _: 1.0)
        turns.open(frontier.wave_hosts())
        return turns, lanes

    return open_it


def refused(frontier: Frontier) -> dict[str, int]:
    frontier.commit()
    return frontier.census.rules("refused")


def test_a_host_with_nothing_but_forbidden_urls_is_never_queued(
    frontier: Frontier, wave: Open
) -> None:
    turns, lanes = wave(f"{A}/private/1", f"{A}/private/2")
    turns.gather()
    assert not turns.gathering
    assert lanes.next_at() is None
    assert refused(frontier) == {"robots": 2}


def test_a_host_is_queued_no_more_once_only_forbidden_urls_are_left(
    frontier: Frontier, wave: Open
) -> None:
    turns, lanes = wave(f"{A}/page", f"{A}/private/1")
    turns.gather()
    assert lanes.take(time.monotonic()) == "a.jp"
    job = turns.next("a.jp")
    assert isinstance(job, Entry)
    assert job.url == f"{A}/page"
    turns.end("a.jp")
    assert lanes.next_at() is None  # its delay of a second holds up nobody
    assert refused(frontier) == {"robots": 1}


def test_a_url_to_be_tried_later_keeps_its_host_queued_until_then(
    frontier: Frontier, wave: Open
) -> None:
    turns, lanes = wave(f"{A}/page")
    turns.gather()
    lanes.take(time.monotonic())
    job = turns.next("a.jp")
    assert isinstance(job, Entry)
    frontier.retry(job, steady_now() + 1000)
    turns.end("a.jp")
    due = lanes.next_at()
    assert due is not None
    assert due > time.monotonic() + 500


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
@pytest.mark.parametrize("wait_s", [-1.0, 1000.0])
def test_a_clock_that_is_set_makes_no_host_wait_longer_or_shorter(
    frontier: Frontier,
    wave: Open,
    monkeypatch: pytest.MonkeyPatch,
    step_s: float,
    wait_s: float,
) -> None:
    turns, lanes = wave(f"{A}/page")
    turns.gather()
    assert lanes.take(time.monotonic()) == "a.jp"
    job = turns.next("a.jp")
    assert isinstance(job, Entry)
    frontier.retry(job, steady_now() + wait_s)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + step_s)
    turns.end("a.jp")
    due = lanes.next_at()
    assert due is not None
    assert max(due - time.monotonic(), 0.0) == pytest.approx(max(wait_s, 0.0), abs=5.0)
    assert (lanes.take(time.monotonic()) is None) == (wait_s > 0)


def test_more_forbidden_urls_than_are_settled_in_a_turn_lose_nothing(
    frontier: Frontier, wave: Open
) -> None:
    turns, lanes = wave(*(f"{A}/private/{number:04d}" for number in range(450)), f"{A}/public")
    turns.gather()
    jobs = []
    while turns.gathering or lanes.next_at() is not None:
        turns.gather()
        if lanes.take(time.monotonic()) is not None:
            jobs.append(turns.next("a.jp"))
    assert [job.url for job in jobs if isinstance(job, Entry)] == [f"{A}/public"]
    assert refused(frontier) == {"robots": 450}


def test_an_unknown_origin_is_asked_once_and_its_urls_wait(frontier: Frontier, wave: Open) -> None:
    turns, lanes = wave(f"{A}/1", f"{B}/1", known=False)
    turns.gather()
    hosts = [lanes.take(time.monotonic()), lanes.take(time.monotonic())]
    assert hosts == ["a.jp", "b.jp"]
    assert turns.next("a.jp") == Quest.start(A)
    assert turns.next("b.jp") == Quest.start(B)
    turns.end("a.jp")
    assert lanes.take(time.monotonic()) == "a.jp"
    assert turns.next("a.jp") is None  # its robots.txt is under way
    assert lanes.next_at() is None
    turns.answered(A)
    assert lanes.take(time.monotonic()) == "a.jp"


def test_a_broken_off_request_is_the_next_one_again(frontier: Frontier, wave: Open) -> None:
    turns, lanes = wave(f"{A}/1", f"{A}/2")
    turns.gather()
    for _ in range(2):
        lanes.take(time.monotonic())
        job = turns.next("a.jp")
        assert isinstance(job, Entry)
        assert job.url == f"{A}/1"
        turns.give_up(job)
        turns.end("a.jp")


def test_many_hosts_are_gathered_in_steps(frontier: Frontier, wave: Open) -> None:
    turns, lanes = wave(*(f"http://h{number:03d}.jp/" for number in range(150)))
    steps = 0
    while turns.gathering:
        turns.gather()
        steps += 1
    taken = 0
    while lanes.take(time.monotonic()) is not None:
        taken += 1
    assert (steps, taken) == (3, 150)

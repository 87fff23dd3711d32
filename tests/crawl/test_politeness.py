from email.utils import formatdate

import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.politeness import Lanes, retry_after_s, retry_wait_s

NOW = 1_700_000_000.0
SETTINGS = CrawlSettings(retry_base_s=2.0, max_retries=3, max_retry_wait_s=100.0, delay_s=1.0)


def answer(status: int, retry_after: str = "") -> Response:
    headers = (("Retry-After", retry_after),) if retry_after else ()
    return Response("http://e.jp/", status, "", "HTTP/1.1", headers, (), b"", "unread", NOW, 0.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_comes_in_two_forms(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


def test_backoff_doubles_and_ends() -> None:
    failure = Failure("timeout", "")
    assert [retry_wait_s(failure, tries, SETTINGS, NOW) for tries in range(4)] == [2, 4, 8, None]


def test_retry_after_wins_over_backoff_but_not_below_the_delay() -> None:
    assert retry_wait_s(answer(503, "30"), 0, SETTINGS, NOW) == 30
    assert retry_wait_s(answer(429, "0"), 0, SETTINGS, NOW) == 1


def test_a_wait_beyond_the_limit_or_a_final_failure_ends_it() -> None:
    assert retry_wait_s(answer(503, "101"), 0, SETTINGS, NOW) is None
    assert retry_wait_s(Failure("tls", "", retryable=False), 0, SETTINGS, NOW) is None


def test_a_taken_host_is_not_given_out_twice() -> None:
    lanes = Lanes()
    lanes.enter("a")
    assert lanes.take(0.0) == "a"
    lanes.enter("a")
    assert lanes.take(9.0) is None
    lanes.leave("a")
    lanes.enter("a")
    assert lanes.take(9.0) == "a"


def test_a_host_that_is_held_while_it_queues_waits_all_the_same() -> None:
    lanes = Lanes()
    lanes.enter("a")
    lanes.hold("a", 5.0, "Retry-After")
    assert lanes.take(1.0) is None
    assert lanes.next_at() == 5.0
    assert lanes.waiting(1.0) == {"a": "waiting 4.0 s: Retry-After"}
    lanes.hold("a", 2.0, "delay")
    assert lanes.take(4.9) is None
    assert lanes.take(5.0) == "a"


def test_hosts_come_in_the_order_in_which_they_are_free() -> None:
    lanes = Lanes()
    for host, until in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        lanes.hold(host, until, "delay")
        lanes.enter(host)
    assert [lanes.take(9.0) for _ in range(4)] == ["b", "c", "a", None]

from dataclasses import replace
from email.utils import formatdate

import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.politeness import Lanes, Pace, asked_wait_s, retry_after_s, retry_wait_s

URL = "http://e.jp/"
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
        ("120, 30", 120.0),
        ("120s", 120.0),
        ("1.5", 1.5),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_comes_in_two_forms(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


def test_a_date_is_read_by_the_servers_own_clock() -> None:
    """Ours may be wrong by years: the wait is what lies between the server's two dates."""
    named = (
        ("Date", formatdate(NOW + 5_000_000, usegmt=True)),
        ("Retry-After", formatdate(NOW + 5_000_060, usegmt=True)),
    )
    for status in (503, 429, 302, 403):
        late = replace(answer(status), headers=named)
        assert asked_wait_s(late, NOW) == 60.0
        assert asked_wait_s(late, NOW + 9_000_000) == 60.0
    assert asked_wait_s(replace(answer(503), headers=named[1:]), NOW + 5_000_000) == 60.0
    assert asked_wait_s(replace(answer(200), headers=named), NOW) is None


def test_backoff_doubles_and_ends() -> None:
    failure = Failure("timeout", "")
    waits = [retry_wait_s(failure, tries, SETTINGS, NOW, URL) for tries in range(4)]
    assert waits[3] is None
    for wait_s, backoff_s in zip(waits[:3], (2.0, 4.0, 8.0), strict=True):
        assert wait_s is not None
        assert backoff_s <= wait_s <= 1.5 * backoff_s


def test_what_failed_together_does_not_come_back_together() -> None:
    failure = Failure("timeout", "")
    waits = {retry_wait_s(failure, 0, SETTINGS, NOW, f"{URL}{n}") for n in range(20)}
    assert len(waits) == 20


def test_retry_after_wins_over_backoff_but_not_below_the_delay() -> None:
    assert retry_wait_s(answer(503, "30"), 0, SETTINGS, NOW, URL) == 30
    assert retry_wait_s(answer(429, "0"), 0, SETTINGS, NOW, URL) == 1


def test_a_wait_beyond_the_limit_or_a_final_failure_ends_it() -> None:
    assert retry_wait_s(answer(503, "101"), 0, SETTINGS, NOW, URL) is None
    assert retry_wait_s(Failure("tls", "", retryable=False), 0, SETTINGS, NOW, URL) is None


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


def test_hosts_on_one_address_share_its_pace() -> None:
    lanes = Lanes()
    for host, address in (("a", "192.0.2.1"), ("b", "192.0.2.1"), ("c", "192.0.2.2")):
        lanes.settle_at(host, address)
        lanes.enter(host)
    assert lanes.take(0.0) == "a"
    lanes.hold_address("a", 5.0)
    assert lanes.take(1.0) == "c"
    assert lanes.take(1.0) is None
    assert lanes.waiting(1.0) == {"b": "waiting 4.0 s: its address 192.0.2.1 is shared"}
    assert lanes.take(5.0) == "b"


def test_a_slow_host_gets_a_longer_delay_within_a_limit() -> None:
    pace = Pace(CrawlSettings(adaptive_delay=2.0, max_adaptive_delay_s=3.0))
    assert pace.delay_s("a") == 0.0
    pace.note("a", 1.0)
    assert pace.delay_s("a") == 2.0
    pace.note("a", 0.0)
    assert 0.0 < pace.delay_s("a") < 2.0
    pace.note("b", 60.0)
    assert pace.delay_s("b") == 3.0

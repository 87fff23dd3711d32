"""robots.txt after RFC 9309: the table of files, then how a file is asked for and kept."""

from collections import Counter

import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.permission import Answer, Permissions, Quest, advance
from so8t_core.crawl.robots import MAX_ROBOTS_BYTES, RuleSet, parse

from .robots_cases import CASES, Case, group

NOW = 1_700_000_000.0
SETTINGS = CrawlSettings(max_retries=1, retry_base_s=2.0, product_token="FooBot")


def names() -> list[str]:
    met: Counter[str] = Counter()
    found = []
    for case in CASES:
        met[case.name] += 1
        found.append(f"{case.name}-{met[case.name]}")
    return found


def test_the_table_is_as_long_as_it_has_to_be() -> None:
    assert len({(case.robots, case.token, case.path) for case in CASES}) >= 150


@pytest.mark.parametrize("case", CASES, ids=names())
def test_what_a_file_says_of_a_url(case: Case) -> None:
    body = case.robots if isinstance(case.robots, bytes) else case.robots.encode()
    rules = RuleSet(parse(body, case.token).rules)
    assert (rules.forbidding(f"http://e.jp{case.path}") is None) is case.allowed


def answered(status: int, body: bytes = b"", location: str = "") -> Response:
    headers = (("Location", location),) if location else ()
    return Response("", status, "", "HTTP/1.1", headers, (), body, "whole", NOW, 0.0)


def ask(*results: Response | Failure) -> Answer | Quest:
    """What becomes of a quest with these results, the files on training being absent."""
    step: Answer | Quest = Quest.start("http://e.jp")
    for result in results:
        assert isinstance(step, Quest)
        step = advance(step, result, SETTINGS, NOW)
    while isinstance(step, Quest) and step.so_far is not None:
        step = advance(step, answered(404), SETTINGS, NOW)
    return step


@pytest.mark.parametrize("status", [*range(400, 408), 410, 411, 418, 421, 422, 426, 431, 451])
def test_2_3_1_3_unavailable_means_no_rules(status: int) -> None:
    step = ask(answered(status))
    assert isinstance(step, Answer)
    assert step.outcome == "allow-all"


FAILURES = {
    **{f"http-{status}": answered(status) for status in (500, 501, 502, 503, 504, 505, 520, 599)},
    "http-408": answered(408),
    "http-429": answered(429),
    **{kind: Failure(kind, "") for kind in ("timeout", "dns", "connect", "disconnected")},
    "tls": Failure("tls", "", retryable=False),
    "bad-http": Failure("bad-http", ""),
    "broken-body": Failure("broken-body", ""),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_2_3_1_4_unreachable_means_complete_disallow(failure: Response | Failure) -> None:
    step = ask(failure)
    while isinstance(step, Quest):
        step = advance(step, failure, SETTINGS, NOW)
    assert step.outcome == "disallow-all"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("hops", range(1, 7))
def test_2_3_1_2_five_redirects_are_followed(status: int, hops: int) -> None:
    moved = [answered(status, location=f"http://h{hop}.jp/r") for hop in range(hops)]
    step = ask(*moved)
    if hops > 5:
        assert isinstance(step, Answer)
        assert step.outcome == "disallow-all"
        return
    end = ask(*moved, answered(200, group("*", "Disallow: /").encode()))
    assert isinstance(end, Answer)
    assert (end.origin, end.outcome) == ("http://e.jp", "rules")
    assert RuleSet(end.group.rules).forbidding("http://e.jp/x")


@pytest.mark.parametrize(
    "location", ["", "ftp://e.jp/robots.txt", "http://[::1", "http://user:word@e.jp/robots.txt"]
)
def test_2_3_1_2_a_redirect_to_no_url_forbids_all(location: str) -> None:
    step = ask(answered(301, location=location))
    if location:
        assert isinstance(step, Answer)
        assert step.outcome == "disallow-all"
    else:
        assert isinstance(step, Quest), "an empty Location leads back; the limit of hops ends it"


def test_2_3_1_2_a_redirect_to_several_places_forbids_all() -> None:
    headers = (("Location", "/a"), ("location", "http://o.jp/b"))
    moved = Response("", 301, "", "HTTP/1.1", headers, (), b"", "whole", NOW, 0.0)
    step = ask(moved)
    assert isinstance(step, Answer)
    assert step.outcome == "disallow-all"


class Store:
    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    def stored_answer(self, origin: str) -> Answer | None:
        return self.answers.get(origin)

    def store_answer(self, answer: Answer) -> None:
        self.answers[answer.origin] = answer


@pytest.mark.parametrize(
    ("age_s", "fresh"), [(0, True), (3600, True), (86_399, True), (86_400, False), (-1, False)]
)
def test_2_4_an_answer_is_used_for_a_day(age_s: float, fresh: bool) -> None:
    permissions = Permissions(Store(), SETTINGS)
    permissions.learn(Answer("http://e.jp", "allow-all", "HTTP 404", NOW))
    assert (permissions.answer("http://e.jp", NOW + age_s) is not None) is fresh


@pytest.mark.parametrize("origin", ["https://e.jp", "http://e.jp:8080", "http://www.e.jp"])
def test_2_3_a_file_speaks_for_its_own_origin_alone(origin: str) -> None:
    permissions = Permissions(Store(), SETTINGS)
    permissions.learn(Answer("http://e.jp", "allow-all", "HTTP 404", NOW))
    assert permissions.answer(origin, NOW) is None


@pytest.mark.parametrize(
    ("filler", "forbidden"),
    [(0, True), (100_000, True), (MAX_ROBOTS_BYTES - 60, True), (MAX_ROBOTS_BYTES, False)],
)
def test_2_5_five_hundred_kibibytes_are_read(filler: int, forbidden: bool) -> None:
    assert MAX_ROBOTS_BYTES >= 500 * 1024
    body = b"User-agent: *\n#" + b"x" * filler + b"\nDisallow: /a\n# more" + b"\n" * 100
    line = RuleSet(parse(body, "FooBot").rules).forbidding("http://e.jp/a")
    assert (line is not None) is forbidden


def test_2_5_a_line_that_the_limit_cuts_is_not_read() -> None:
    head = b"User-agent: *\nDisallow: /a\n#" + b"x" * (MAX_ROBOTS_BYTES - 40) + b"\n"
    body = head + b"Allow: /a/very/long/path" + b"y" * 100
    assert RuleSet(parse(body, "FooBot").rules).forbidding("http://e.jp/a/very/long/path/x")

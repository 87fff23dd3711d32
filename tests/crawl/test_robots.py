import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.robots import (
    MAX_ROBOTS_BYTES,
    Robots,
    RobotsAnswer,
    RobotsQuest,
    RuleSet,
    advance,
    parse,
)

NOW = 1_700_000_000.0
SETTINGS = CrawlSettings(max_retries=1, retry_base_s=2.0)


def allowed(text: str | bytes, path: str, token: str = "FooBot") -> bool:
    body = text if isinstance(text, bytes) else text.encode()
    return RuleSet(parse(body, token)).forbidding(f"http://e.jp{path}") is None


@pytest.mark.parametrize(
    ("text", "path", "is_allowed"),
    [
        # Groups (RFC 9309, 2.2.1)
        ("", "/x", True),
        ("User-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("user-AGENT: foobot\ndisALLOW: /", "/x", False),
        ("User-agent: barbot\nDisallow: /", "/x", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: foobot\nDisallow: /p", "/x", True),
        ("User-agent: foobot\nDisallow:\nUser-agent: *\nDisallow: /", "/x", True),
        (
            "User-agent: foobot\nDisallow: /a\nUser-agent: x\nDisallow: /\n"
            "User-agent: foobot\nDisallow: /b",
            "/b",
            False,
        ),
        ("User-agent: foobot\nUser-agent: barbot\nDisallow: /", "/x", False),
        ("User-agent: foobot\n\n\nUser-agent: barbot\n\nDisallow: /", "/x", False),
        ("User-agent: foobot\nUnknown: 1\nUser-agent: barbot\nDisallow: /", "/x", False),
        ("User-agent: foobot\nSitemap: http://e.jp/s\nUser-agent: x\nDisallow: /", "/x", False),
        ("User-agent: foobot\nCrawl-delay: 1\nUser-agent: x\nDisallow: /", "/x", False),
        ("User-agent: foobot\nAllow: /\nUser-agent: x\nDisallow: /", "/x", True),
        ("User-agent: foobot/2.1\nDisallow: /", "/x", False),
        ("User-agent: FooBot is welcome\nDisallow: /", "/x", False),
        ("User-agent: foobotics\nDisallow: /", "/x", True),
        ("User-agent: foo\nDisallow: /", "/x", True),
        ("User-agent: * \nDisallow: /", "/x", False),
        ("Disallow: /\nUser-agent: *\nDisallow: /y", "/x", True),
        # Matching (2.2.2, 2.2.3)
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a", "/a/c", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /fish", "/fishheads/x.html", False),
        ("User-agent: *\nDisallow: /fish", "/Fish", True),
        ("User-agent: *\nDisallow: /fish/", "/fish", True),
        ("User-agent: *\nDisallow: /*.php$", "/a/b.php", False),
        ("User-agent: *\nDisallow: /*.php$", "/a.php?x=1", True),
        ("User-agent: *\nDisallow: /*?", "/a?x", False),
        ("User-agent: *\nDisallow: /a*c", "/abbbc", False),
        ("User-agent: *\nDisallow: */secret/", "/a/secret/x", False),
        ("User-agent: *\nDisallow: /\nAllow: /$", "/", True),
        ("User-agent: *\nDisallow: /\nAllow: /$", "/x", False),
        ("User-agent: *\nDisallow: /あ", "/%E3%81%82", False),
        ("User-agent: *\nDisallow: /%e3%81%82", "/%E3%81%82", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),
        ("User-agent: *\nDisallow: /~joe", "/%7Ejoe", False),
        ("User-agent: *\nDisallow: /\nAllow: /d/index.html", "/d/", False),
        ("User-agent: *\nDisallow: /\nAllow: /d/index.html", "/d/index.html", True),
        # Odd files
        ("\ufeffUser-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\rDisallow: /a\rDisallow: /b", "/b", False),
        ("User-agent: *\r\nDisallow: /a\r\n", "/a", False),
        ("User-agent: * # all\nDisallow: /a # not this", "/a", False),
        ("User-agent *\nDisallow /", "/x", False),
        ("User-agent: *\n  Disallow  :  /a  ", "/a", False),
        ("User-agent: *\nDissallow: /a", "/a", False),
        ("User-agent: *\nDisallow: /a b", "/a%20b", False),
        ("User-agent: *\nDisallow: /a\u2028Allow: /", "/b", True),
        ("<html><body>Disallow: /</body></html>", "/x", True),
        (b"\x00\xff\xfe\x89PNG", "/x", True),
        ("User-agent: *\nDisallow: /".encode("utf-16"), "/x", False),
        (b"User-agent: *\nDisallow: /\x82\xa0", "/%82%A0", False),
    ],
)
def test_what_robots_txt_allows(text: str | bytes, path: str, is_allowed: bool) -> None:
    assert allowed(text, path) is is_allowed


def test_the_line_that_forbids_is_named() -> None:
    rules = RuleSet(parse(b"User-agent: *\nDisallow: /a\nDisallow: /a/b", "x"))
    assert rules.forbidding("http://e.jp/a/b/c") == "Disallow: /a/b"


def test_five_hundred_kibibytes_are_read_and_a_cut_line_is_dropped() -> None:
    filler = b"User-agent: *\n" + b"#" * (MAX_ROBOTS_BYTES - 40) + b"\n"
    assert not allowed(filler + b"Disallow: /a\n" + b"# more" * 10, "/a")
    cut = filler + b"Disallow: /a\n" + b"Allow: /" + b"a" * 100
    assert not allowed(cut, "/a")


def test_crawl_delay_and_sitemaps() -> None:
    group = parse(
        b"Sitemap: http://e.jp/s.xml\nUser-agent: *\nCrawl-delay: 2.5\nCrawl-delay: x\n"
        b"User-agent: *\nCrawl-delay: 1\nDisallow:",
        "FooBot",
    )
    assert (group.crawl_delay_s, group.sitemaps) == (2.5, ("http://e.jp/s.xml",))


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response("", status, "", "HTTP/1.1", named, (), body, "whole", NOW, 0.0)


QUEST = RobotsQuest.start("http://e.jp")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_4xx_means_no_rules(status: int) -> None:
    step = advance(QUEST, answer(status), SETTINGS, NOW)
    assert isinstance(step, RobotsAnswer)
    assert step.outcome == "allow-all"


@pytest.mark.parametrize(
    "result", [answer(429), answer(500), answer(503), answer(599), Failure("timeout", "late")]
)
def test_errors_are_tried_again_and_then_forbid_all(result: Response | Failure) -> None:
    again = advance(QUEST, result, SETTINGS, NOW)
    assert isinstance(again, RobotsQuest)
    assert (again.tries, again.wait_s) == (1, 2.0)
    end = advance(again, result, SETTINGS, NOW)
    assert isinstance(end, RobotsAnswer)
    assert end.outcome == "disallow-all"


def test_five_redirects_are_followed_for_the_first_origin_and_no_sixth() -> None:
    step: RobotsQuest | RobotsAnswer = QUEST
    for hop in range(5):
        assert isinstance(step, RobotsQuest)
        step = advance(step, answer(301, Location=f"//h{hop}.jp/r"), SETTINGS, NOW)
    assert isinstance(step, RobotsQuest)
    assert (step.origin, step.url) == ("http://e.jp", "http://h4.jp/r")
    found = advance(step, answer(200, b"User-agent: *\nDisallow: /"), SETTINGS, NOW)
    assert isinstance(found, RobotsAnswer)
    assert (found.origin, found.outcome) == ("http://e.jp", "rules")
    sixth = advance(step, answer(302, Location="/again"), SETTINGS, NOW)
    assert isinstance(sixth, RobotsAnswer)
    assert sixth.outcome == "disallow-all"


class Store:
    def __init__(self) -> None:
        self.answers: dict[str, RobotsAnswer] = {}

    def robots_answer(self, origin: str) -> RobotsAnswer | None:
        return self.answers.get(origin)

    def store_robots(self, answer: RobotsAnswer) -> None:
        self.answers[answer.origin] = answer


def test_an_answer_is_asked_for_again_after_a_day() -> None:
    robots = Robots(Store(), SETTINGS)
    robots.learn(RobotsAnswer("http://e.jp", "allow-all", "HTTP 404", NOW))
    assert robots.answer("http://e.jp", NOW + 86_399) is not None
    assert robots.answer("http://e.jp", NOW + 86_400) is None
    assert robots.answer("http://e.jp:8080", NOW) is None


def test_refusals_name_rule_source_and_line() -> None:
    robots = Robots(Store(), SETTINGS)
    group = parse(b"User-agent: *\nDisallow: /p", "x")
    robots.learn(RobotsAnswer("http://e.jp", "rules", "HTTP 200", NOW, group))
    refusal = robots.refuse("http://e.jp/p/1")
    assert refusal is not None
    assert (refusal.rule, refusal.source, refusal.detail) == (
        "robots",
        "http://e.jp/robots.txt",
        "Disallow: /p",
    )
    robots.learn(RobotsAnswer("http://e.jp", "disallow-all", "HTTP 503", NOW))
    unreachable = robots.refuse("http://e.jp/x")
    assert unreachable is not None
    assert (unreachable.rule, unreachable.detail) == ("robots-unreachable", "HTTP 503")


def test_a_crawl_delay_beyond_patience_refuses_the_host() -> None:
    robots = Robots(Store(), SETTINGS)
    group = parse(b"User-agent: *\nCrawl-delay: 3600", "x")
    robots.learn(RobotsAnswer("http://e.jp", "rules", "HTTP 200", NOW, group))
    refusal = robots.refuse("http://e.jp/")
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("crawl-delay", "3600 s")

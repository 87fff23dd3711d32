import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.permission import Robots, RobotsAnswer, RobotsQuest, advance
from so8t_core.crawl.robots import parse

NOW = 1_700_000_000.0
SETTINGS = CrawlSettings(max_retries=1, retry_base_s=2.0)


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


AI = b"User-agent: *\nDisallow: /x\nUser-agent: GPTBot\nUser-agent: CCBot\nDisallow: /essays\n"


def test_what_is_closed_to_training_crawlers_is_closed_to_us() -> None:
    robots = Robots(Store(), SETTINGS)
    group = parse(AI, "SoEightBot", ("CCBot", "GPTBot", "ClaudeBot"))
    robots.learn(RobotsAnswer("http://e.jp", "rules", "HTTP 200", NOW, group))
    refusal = robots.refuse("http://e.jp/essays/1")
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("robots-ai", "CCBot: Disallow: /essays")
    assert robots.refuse("http://e.jp/other") is None


def test_a_group_that_names_us_says_it_all() -> None:
    robots = Robots(Store(), SETTINGS)
    group = parse(AI + b"User-agent: SoEightBot\nAllow: /", "SoEightBot", ("GPTBot",))
    robots.learn(RobotsAnswer("http://e.jp", "rules", "HTTP 200", NOW, group))
    assert robots.refuse("http://e.jp/essays/1") is None

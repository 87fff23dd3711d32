import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Response
from so8t_core.crawl.permission import Answer, Permissions, Quest, advance
from so8t_core.crawl.reservations import read_ai_txt
from so8t_core.crawl.robots import parse

NOW = 1_700_000_000.0
SETTINGS = CrawlSettings(max_retries=1, retry_base_s=2.0)


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response("", status, "", "HTTP/1.1", named, (), body, "whole", NOW, 0.0)


QUEST = Quest.start("http://e.jp")


def to_the_end(step: Quest | Answer) -> Answer:
    """Every further file is absent."""
    while isinstance(step, Quest):
        step = advance(step, answer(404), SETTINGS, NOW)
    return step


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_4xx_means_no_rules(status: int) -> None:
    step = to_the_end(advance(QUEST, answer(status), SETTINGS, NOW))
    assert step.outcome == "allow-all"


@pytest.mark.parametrize(
    "result", [answer(429), answer(500), answer(503), answer(599), Failure("timeout", "late")]
)
def test_errors_are_tried_again_and_then_forbid_all(result: Response | Failure) -> None:
    again = advance(QUEST, result, SETTINGS, NOW)
    assert isinstance(again, Quest)
    assert again.tries == 1
    assert 2.0 <= again.wait_s <= 3.0, "the backoff and up to half of it again"
    end = advance(again, result, SETTINGS, NOW)
    assert isinstance(end, Answer)
    assert end.outcome == "disallow-all"


def test_five_redirects_are_followed_for_the_first_origin_and_no_sixth() -> None:
    step: Quest | Answer = QUEST
    for hop in range(5):
        assert isinstance(step, Quest)
        step = advance(step, answer(301, Location=f"//h{hop}.jp/r"), SETTINGS, NOW)
    assert isinstance(step, Quest)
    assert (step.origin, step.url) == ("http://e.jp", "http://h4.jp/r")
    found = advance(step, answer(200, b"User-agent: *\nDisallow: /"), SETTINGS, NOW)
    assert isinstance(found, Answer), "where all is forbidden, nothing more is asked for"
    assert (found.origin, found.outcome) == ("http://e.jp", "rules")
    sixth = advance(step, answer(302, Location="/again"), SETTINGS, NOW)
    assert isinstance(sixth, Answer)
    assert sixth.outcome == "disallow-all"


class Store:
    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    def stored_answer(self, origin: str) -> Answer | None:
        return self.answers.get(origin)

    def store_answer(self, answer: Answer) -> None:
        self.answers[answer.origin] = answer


def test_an_answer_is_asked_for_again_after_a_day() -> None:
    robots = Permissions(Store(), SETTINGS)
    robots.learn(Answer("http://e.jp", "allow-all", "HTTP 404", NOW))
    assert robots.answer("http://e.jp", NOW + 86_399) is not None
    assert robots.answer("http://e.jp", NOW + 86_400) is None
    assert robots.answer("http://e.jp:8080", NOW) is None


def test_refusals_name_rule_source_and_line() -> None:
    robots = Permissions(Store(), SETTINGS)
    group = parse(b"User-agent: *\nDisallow: /p", "x")
    robots.learn(Answer("http://e.jp", "rules", "HTTP 200", NOW, group))
    refusal = robots.refuse("http://e.jp/p/1")
    assert refusal is not None
    assert (refusal.rule, refusal.source, refusal.detail) == (
        "robots",
        "http://e.jp/robots.txt",
        "Disallow: /p",
    )
    robots.learn(Answer("http://e.jp", "disallow-all", "HTTP 503", NOW))
    unreachable = robots.refuse("http://e.jp/x")
    assert unreachable is not None
    assert (unreachable.rule, unreachable.detail) == ("robots-unreachable", "HTTP 503")


def test_a_crawl_delay_beyond_patience_refuses_the_host() -> None:
    robots = Permissions(Store(), SETTINGS)
    group = parse(b"User-agent: *\nCrawl-delay: 3600", "x")
    robots.learn(Answer("http://e.jp", "rules", "HTTP 200", NOW, group))
    refusal = robots.refuse("http://e.jp/")
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("crawl-delay", "3600 s")


AI = b"User-agent: *\nDisallow: /x\nUser-agent: GPTBot\nUser-agent: CCBot\nDisallow: /essays\n"


def test_what_is_closed_to_training_crawlers_is_closed_to_us() -> None:
    robots = Permissions(Store(), SETTINGS)
    group = parse(AI, "SoEightBot", ("CCBot", "GPTBot", "ClaudeBot"))
    robots.learn(Answer("http://e.jp", "rules", "HTTP 200", NOW, group))
    refusal = robots.refuse("http://e.jp/essays/1")
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("robots-ai", "CCBot: Disallow: /essays")
    assert robots.refuse("http://e.jp/other") is None


def test_a_group_that_names_us_says_it_all() -> None:
    robots = Permissions(Store(), SETTINGS)
    group = parse(AI + b"User-agent: SoEightBot\nAllow: /", "SoEightBot", ("GPTBot",))
    robots.learn(Answer("http://e.jp", "rules", "HTTP 200", NOW, group))
    assert robots.refuse("http://e.jp/essays/1") is None


def test_after_robots_txt_the_files_on_training_are_asked_for_where_it_lets_us() -> None:
    step = advance(QUEST, answer(200, b"User-agent: *\nDisallow: /ai.txt"), SETTINGS, NOW)
    assert isinstance(step, Quest)
    assert step.url == "http://e.jp/.well-known/tdmrep.json"
    body = b'[{"location": "/art/*", "tdm-reservation": 1}]'
    end = advance(step, answer(200, body), SETTINGS, NOW)
    assert isinstance(end, Answer), "ai.txt is not to be asked for"
    assert end.reserved == (("tdmrep.json", (("disallow", "/art/*"),)),)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"location": "/", "tdm-reservation": 1},]',
        b'\xef\xbb\xbf {"location": "/", "tdm-reservation": 1',
    ],
    ids=["comma", "cut"],
)
def test_a_reservation_that_cannot_be_read_is_one_that_was_not_heard(body: bytes) -> None:
    step = advance(QUEST, answer(404), SETTINGS, NOW)
    assert isinstance(step, Quest)
    end = to_the_end(advance(step, answer(200, body), SETTINGS, NOW))
    assert end.unheard == (("tdmrep.json", "it cannot be read"),)
    assert to_the_end(advance(step, answer(200, b"<html>"), SETTINGS, NOW)).unheard == ()


def test_an_ai_txt_counts_whatever_its_media_type_but_a_page_is_none() -> None:
    body = b"User-Agent: *\nDisallow: /"
    assert read_ai_txt(body, "x", ()) == (("disallow", "/"),)
    assert read_ai_txt(b" <html>\n" + body, "x", ()) == ()


def test_what_is_reserved_is_refused_with_its_file() -> None:
    robots = Permissions(Store(), SETTINGS)
    group = parse(b"User-agent: *\nContent-Signal: search=yes, ai-train=no\nDisallow: /x", "x")
    reserved = (("tdmrep.json", (("disallow", "/art/*"),)), ("ai.txt", (("disallow", "*.txt"),)))
    robots.learn(Answer("http://e.jp", "rules", "HTTP 200", NOW, reserved=reserved))
    robots.learn(Answer("http://f.jp", "rules", "HTTP 200", NOW, group))
    found = {
        url: refusal and (refusal.rule, refusal.source, refusal.detail)
        for url in ("http://e.jp/", "http://e.jp/art/1", "http://e.jp/a.txt", "http://f.jp/y")
        for refusal in (robots.refuse(url),)
    }
    assert found == {
        "http://e.jp/": None,
        "http://e.jp/art/1": (
            *("tdm-reservation", "http://e.jp/.well-known/tdmrep.json", "Disallow: /art/*"),
        ),
        "http://e.jp/a.txt": ("ai-txt", "http://e.jp/ai.txt", "Disallow: *.txt"),
        "http://f.jp/y": ("content-usage", "http://f.jp/robots.txt", "Disallow: /"),
    }


def test_a_file_on_training_that_cannot_be_had_forbids_all() -> None:
    step = advance(QUEST, answer(404), SETTINGS, NOW)
    for _ in range(SETTINGS.max_retries + 1):
        assert isinstance(step, Quest)
        step = advance(step, answer(503), SETTINGS, NOW)
    end = to_the_end(step)
    assert end.unheard == (("tdmrep.json", "HTTP 503"),)
    robots = Permissions(Store(), SETTINGS)
    robots.learn(end)
    refusal = robots.refuse("http://e.jp/")
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("reservation-unheard", "HTTP 503")


def test_a_file_on_training_behind_another_host_is_not_fetched_there() -> None:
    step = advance(QUEST, answer(404), SETTINGS, NOW)
    assert isinstance(step, Quest)
    step = advance(step, answer(302, Location="http://other.jp/404"), SETTINGS, NOW)
    assert isinstance(step, Quest)
    assert step.url == "http://e.jp/ai.txt"

import json

import pytest

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.contract.settings.crawl_policy import LicenceSettings
from so8t_core.crawl.assess import assess
from so8t_core.crawl.licence import judge
from so8t_core.crawl.policy import page_directives, refuse_page
from so8t_core.crawl.reservations import read_tdmrep

NONE = judge([], LicenceSettings())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("noindex", {"noindex"}),
        ("NoIndex, NOFOLLOW", {"noindex", "nofollow"}),
        ("none", {"noindex", "nofollow"}),
        ("otherbot: noindex", set()),
        ("otherbot: noindex, ourbot: noai", {"noai"}),
        ("OurBot: noarchive", {"noarchive"}),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST, noai", {"noai", "unavailable-after"}),
        ("unavailable_after: Sunday, 01-Sep-24 12:34:56 GMT, noai", {"noai", "unavailable-after"}),
        ("unavailable_after: 2010-06-25", {"unavailable-after"}),
        ("unavailable_after: 2999-06-25T00:00:00Z, noai", {"noai"}),
        ("unavailable_after: Wed, 25 Jun 2998 10:00:00 +0900", set()),
        ("unavailable_after: some day", {"unavailable-after"}),
        ("otherbot: unavailable_after: 2010-06-25", set()),
        ("max-snippet:-1, noimageai", {"noimageai"}),
        ("all", set()),
    ],
)
def test_x_robots_tag(header: str, found: set[str]) -> None:
    assert set(page_directives([("X-Robots-Tag", header)], [], "OurBot")) == found


def test_meta_robots_for_all_and_for_us() -> None:
    metas = [("ROBOTS", "noindex"), ("ourbot", "noai"), ("googlebot", "noarchive")]
    assert dict(page_directives([], metas, "OurBot")) == {
        "noindex": "meta robots",
        "noai": "meta ourbot",
    }


@pytest.mark.parametrize(
    ("value", "reserved"),
    [
        *((wish, True) for wish in ("1", " 1 ", "1, 1", "0, 1", "1;x", '"1"', "true", "2")),
        *((wish, False) for wish in ("0", "", "0, 0", '"0"')),
    ],
)
def test_any_word_but_0_reserves(value: str, reserved: bool) -> None:
    by_header = page_directives([("tdm-reservation", value)], [], "b")
    by_meta = page_directives([], [("TDM-Reservation", value)], "b")
    assert ("tdm-reservation" in by_header, "tdm-reservation" in by_meta) == (reserved, reserved)
    body = json.dumps([{"location": "/", "tdm-reservation": value}]).encode()
    wish = "disallow" if reserved else "allow"
    assert read_tdmrep(body) == (((wish, "/"),) if value else ())


def test_a_tdm_reservation_by_header_or_meta() -> None:
    assert "tdm-reservation" in page_directives([("TDM-Reservation", "1")], [], "b")
    assert "tdm-reservation" in page_directives([], [("tdm-reservation", "1")], "b")
    assert not page_directives([("TDM-Reservation", "0")], [], "b")


def test_a_refusal_names_the_rule_and_where_it_stands() -> None:
    directives = page_directives([("x-robots-tag", "noai")], [], "b")
    refusal = refuse_page(directives, NONE, LicenceSettings())
    assert refusal is not None
    assert (refusal.rule, refusal.source) == ("noai", "X-Robots-Tag")


def test_nofollow_alone_refuses_nothing() -> None:
    directives = page_directives([], [("robots", "nofollow")], "b")
    assert refuse_page(directives, NONE, LicenceSettings()) is None


def test_a_licence_policy_can_refuse_what_is_unknown() -> None:
    refusal = refuse_page({}, NONE, LicenceSettings(keep=("allow",)))
    assert refusal is not None
    assert refusal.rule == "licence-unknown"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("soeightbot/1.0: noindex", {"noindex"}),
        ("robots: noindex", {"noindex"}),
        ("GPTBot: noindex", {"noindex"}),
        ("googlebot: noindex, gptbot: noai", {"noai"}),
        ("googlebot: noindex", set()),
        ("noml", {"noml"}),
        ("\u201cnoindex\u201d", {"noindex"}),
        ("ｎｏａｉ", {"noai"}),
    ],
)
def test_words_to_us_to_all_and_to_crawlers_for_training(header: str, found: set[str]) -> None:
    said = page_directives([("X-Robots-Tag", header)], [], "SoEightBot", ai_tokens=("GPTBot",))
    assert set(said) == found
    meta = page_directives([], [("X-Robots-Tag", header)], "SoEightBot", ai_tokens=("GPTBot",))
    assert set(meta) == found


@pytest.mark.parametrize(
    "meta",
    [
        '<META CONTENT=" NoIndex " NAME=" Robots ">',
        '<body><p><meta property="robots" content="noindex">',
        '<meta http-equiv="X-Robots-Tag" content="noindex">',
        '<meta name="GPTBot" content="noindex">',
        '<meta name="robots" content="no&#105;ndex">',
        '<noscript><meta name="robots" content="noindex"></noscript>',
    ],
)
def test_a_meta_is_heard_in_whatever_form(meta: str) -> None:
    found = assess("http://e.jp/", (), meta.encode(), CrawlSettings())
    assert found.refusal is not None
    assert found.refusal.rule == "noindex"

"""What a site sends to end a crawl ends a page at most; each case did end one once."""

from __future__ import annotations

import gzip
import itertools
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult
from lxml import etree

from so8t_core.contract.errors import Unreachable
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.contract.settings.crawl_policy import LicenceSettings
from so8t_core.crawl import guard
from so8t_core.crawl.assess import assess
from so8t_core.crawl.charset import codec_name, decode
from so8t_core.crawl.encoding import inflater
from so8t_core.crawl.licence import Mark, judge
from so8t_core.crawl.masking import clean_title
from so8t_core.crawl.nesting import too_nested
from so8t_core.crawl.page import read_page
from so8t_core.crawl.policy import _addressed, _is_past
from so8t_core.crawl.politeness import Lanes, retry_after_s
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.reservations import read_tdmrep
from so8t_core.crawl.robots import parse
from so8t_core.crawl.sitemap import _named
from so8t_core.crawl.url import BadUrl, Linker, canonicalise

from .site import Site, html
from .trial import run_crawl

FAR = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"


@pytest.mark.parametrize("label", ["undefined", "utf-7", "unicode_escape", "punycode", "rot13"])
def test_codecs_that_no_browser_has_are_no_charset(label: str) -> None:
    assert codec_name(label) is None
    assert decode("春です".encode(), f"text/html; charset={label}").text == "春です"


def test_dates_beyond_all_calendars_are_unreadable() -> None:
    assert retry_after_s(FAR, 0.0) is None
    assert _is_past(FAR, datetime.now(UTC))


def test_half_characters_become_whole_ones() -> None:
    page = read_page(
        '<script type="application/ld+json">{"license":"\\ud800x"}</script>', "http://a.example/"
    )
    for mark in page.marks:
        mark.value.encode("utf-8")
    rules = read_tdmrep(b'[{"location":"/\\ud800","tdm-reservation":true}]')
    assert rules == (("disallow", "/?"),)
    assert isinstance(canonicalise("http://\ud800/"), BadUrl)


def test_an_undeclared_prefix_is_a_name_like_any_other() -> None:
    feed = b"<rss><channel><item><link>x</link><media:content/></item></channel></rss>"
    tree = etree.fromstring(feed, etree.XMLParser(recover=True))
    assert [node.tag for node in tree.iter() if _named(node, "content")] == ["media:content"]


def test_all_members_of_a_gzip_body_are_read() -> None:
    body = gzip.compress(b"one") + gzip.compress(b"two")
    stream = inflater("gzip")
    assert stream is not None
    assert stream.feed(body, 99) == b"onetwo"
    stream.check_whole()


def test_titles_and_refreshes_of_any_length_are_read_at_once() -> None:
    """Without a bound these ran for hours; the test would then not end."""
    assert len(clean_title("a" * 1_000_000)) == 300
    blanks = " " * 200_000
    page = read_page(
        f'<meta http-equiv="refresh" content="{blanks}x"><meta http-equiv="refresh" '
        f'content=" 0 ; url=/next">',
        "http://a.example/",
    )
    assert [link.href for link in page.links] == ["/next"]


@pytest.fixture
def handed_out(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each request was handed out: a busy machine may bring it to the server later."""
    moments: list[float] = []
    hold = Lanes.hold_address

    def note(lanes: Lanes, host: str, until: float) -> None:
        moments.append(time.monotonic())
        hold(lanes, host, until)

    monkeypatch.setattr(Lanes, "hold_address", note)
    return moments


def least_gap(moments: list[float]) -> float:
    return min(later - sooner for sooner, later in itertools.pairwise(moments))


def test_hosts_of_one_address_are_asked_one_after_another(
    tmp_path: Path, handed_out: list[float]
) -> None:
    answers = {f"http://h{number}.example/": html() for number in range(6)}
    with Site(answers) as site:
        run_crawl(tmp_path, site, *answers, delay_s=0.2, address_delay_share=0.5)
        assert len(site.log) >= 12
    assert len(handed_out) == len(site.log)
    assert least_gap(handed_out) >= 0.099


class _OneAddress(ThreadedResolver):
    """DNS in which every name is on this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]


def test_hosts_that_dns_finds_at_one_address_share_it_from_the_first_request_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handed_out: list[float]
) -> None:
    monkeypatch.setattr(guard, "ThreadedResolver", _OneAddress)
    monkeypatch.setattr(guard, "refused_address", lambda _: False)
    hosts = [f"h{number}.example" for number in range(8)]
    with Site({}) as site:
        seeds = [f"http://{host}:{site.port}/" for host in hosts]
        pace = {"delay_s": 0.2, "address_delay_share": 0.5, "resolve": {}}
        with pytest.raises(Unreachable):
            run_crawl(tmp_path, site, *seeds, allowed_hosts=hosts, **pace)
        assert len(site.log) >= 16
    assert len(handed_out) == len(site.log)
    assert least_gap(handed_out) >= 0.099


def test_a_long_robots_file_of_bare_carriage_returns_is_read() -> None:
    assert parse(b"User-agent: *\rDisallow: /\r" * 30_000, "so8t").rules


@pytest.mark.parametrize("value", ["noindex nofollow", "noarchive;noindex", "so8t: noindex follow"])
def test_directives_without_commas_are_directives(value: str) -> None:
    assert "noindex" in _addressed(value, frozenset(("so8t",)), datetime.now(UTC))


@pytest.mark.parametrize(
    ("mark", "evidence"),
    [
        (Mark("footer", "灯台太郎 CC BY 4.0 taro@example.jp 090-1234-5678"), "footer: CC BY 4.0"),
        (Mark("meta", "© 灯台太郎"), "meta: words that name no known licence"),
        (
            Mark("json-ld", "https://a.example/tel/090-1234-5678"),
            "json-ld: https://a.example/tel/[phone]",
        ),
    ],
)
def test_licence_evidence_has_no_personal_data(mark: Mark, evidence: str) -> None:
    licence = judge([mark], LicenceSettings())
    assert licence.evidence == evidence
    assert "1234" not in licence.url


_COPIES = "more than 500000 copies of formatting elements that are left open"


def _fonts(count: int) -> str:
    return "".join(f"<font color={number}>" for number in range(count))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<div>" * 1_000_000, "more than 1000 elements in one another"),
        ("<ul><li>" * 500_000, "more than 1000 elements in one another"),
        (_fonts(2000) + "<p>", "more than 1000 elements in one another"),
        (
            _fonts(900) + "<div>x</div>" * 300_000,
            _COPIES,
        ),
        ("<a " + "x=1 " * 700_000 + ">", "a tag with 700000 attributes"),
        ("<a " + "x='>' " * 500_000 + ">", "a tag with 500000 attributes"),
        ("<div><!--</div>-->" * 200_000, "more than 1000 elements in one another"),
        ("<div><script></div></script>" * 100_000, "more than 1000 elements in one another"),
        ("<div><p title='</div>'>" * 100_000, "more than 1000 elements in one another"),
        ("<span><div></span></div>" * 100_000, "more than 1000 elements in one another"),
        ("<div><svg></div>" * 100_000, "more than 1000 elements in one another"),
        ("<li><dd>" * 100_000, "more than 1000 elements in one another"),
        ("<rt>" * 500_000, "more than 1000 elements in one another"),
        ("<p>" + _fonts(900).replace(">", "><!--</font>-->") + "<p>x" * 900, _COPIES),
    ],
    ids=[
        *("blocks", "lists", "formatting", "copies", "attributes", "quoted", "comments", "scripts"),
        *("titles", "ordinary", "drawings", "items", "ruby", "hidden-ends"),
    ],
)
def test_a_page_that_keeps_its_parser_busy_for_hours_is_not_parsed(text: str, why: str) -> None:
    found = assess("http://a.example/", (), text.encode(), CrawlSettings())
    assert found.refusal == Refusal("too-nested", "reader", why)


@pytest.mark.parametrize(
    "text",
    [
        "<p>段落" * 50_000,
        "<ul>" + "<li><b>点</b>" * 50_000 + "</ul>",
        "<table>" + "<tr><td>1<td><font color=red>2</font>" * 20_000 + "</table>",
        "<div><span>x</div>" * 500,
        f'<img alt="{"絵 " * 1500}" src="data:image/png;base64,{"A" * 900_000}">',
        "<pre>" + "a b c " * 200_000 + "</pre>",
        "<script>document.write('<div>')</script>" * 300,
    ],
    ids=["paragraphs", "list", "table", "unclosed", "long-attribute", "words", "scripts"],
)
def test_large_and_careless_pages_are_read(text: str) -> None:
    assert too_nested(text) == ""


def test_footers_in_one_another_cost_what_a_few_do() -> None:
    """Where each is read in whole, this test takes a quarter of an hour."""
    blocks = "<i></i>" * 400_000
    page = read_page(
        f"{'<footer>' * 999}CC BY 4.0{blocks}{'</footer>' * 999}<small>無断転載を禁じます</small>",
        "http://a.example/",
    )
    assert {mark.value for mark in page.marks if len(mark.value) < 20} >= {"無断転載を禁じ"}


@pytest.mark.parametrize(
    "piece",
    [
        "<a href=/{}></a>",
        "<a href=//h{}.jp></a>",
        '<a href="http://é{}.jp/"></a>',
        "<a rel=license href=/{}></a>",
        '<meta name="dc.rights" content="{}">',
        "<link rel=alternate type=application/rss+xml href=/{}>",
    ],
)
def test_a_page_gets_no_more_attention_than_any_page_has_a_use_for(piece: str) -> None:
    """Without bounds each of these held up all hosts for 4 to 30 s."""
    page = read_page("".join(map(piece.format, range(30_000))), "http://a.example/")
    assert len(page.links) <= 5_000
    assert len(page.links) + page.links_left_out in (0, 30_000)
    assert len(page.marks) <= 500
    assert len(page.feeds) <= 100


def test_links_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    with Site({"http://a.example/": html("/1", "/2", "/3")}) as site:
        outcome = run_crawl(tmp_path, site, max_page_links=2)
    assert outcome.figures["links_ignored"] == {"too-many": 1}
    assert outcome.figures["urls_seen"] == 3


@pytest.mark.parametrize("part", ["%41", "../", "é", "a/"])
def test_a_link_of_a_megabyte_is_refused_before_it_is_taken_apart(part: str) -> None:
    link = Linker("http://a.example/", drop_parameters=(), max_chars=2000, query_encoding="utf-8")
    for href in (f"/{part * 1_000_000}", f"/?{part * 1_000_000}"):
        found = link(href)
        assert isinstance(found, BadUrl)
        assert found.rule == "url-length"
    data = link("data:text/plain," + part * 1_000_000)
    assert isinstance(data, BadUrl)
    assert data.rule == "url-scheme"


@pytest.mark.parametrize(
    "head",
    [
        '<meta name="x" content="y">' * 1_100 + '<meta name="robots" content="noai">',
        f'<meta name="robots" content="{"all," * 6_000}noai">',
        '<meta property="robots" content="noai">',
        '<meta http-equiv="X-Robots-Tag" content="noai">',
    ],
    ids=["after many", "after much", "property", "http-equiv"],
)
def test_no_wish_of_an_owner_is_lost_where_it_stands(head: str) -> None:
    found = assess("http://a.example/", (), f"<html><head>{head}".encode(), CrawlSettings())
    assert found.refusal is not None
    assert found.refusal.rule in ("noai", "noindex")


def test_long_metas_that_speak_to_nobody_forbid_nothing() -> None:
    page = f'<meta name="state" content="{"x" * 50_000}"><meta itemprop="a" content="b">' * 60
    assert assess("http://a.example/", (), page.encode(), CrawlSettings()).refusal is None

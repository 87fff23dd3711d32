import asyncio
import dataclasses
import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from so8t_core.contract.errors import Unreachable
from so8t_core.phases import crawl
from so8t_core.phases.base import HardPause
from so8t_core.phases.standalone import RecordingEmitter

from .site import Answer, Reply, Site, html
from .trial import context, index, kept, outcome_of, quick, run_crawl

A = "http://a.example"
ROBOTS = f"{A}/robots.txt"


def text(body: str) -> Reply:
    return Reply(body=body.encode(), headers={"Content-Type": "text/plain"})


def test_every_request_says_who_we_are_and_whom_to_turn_to(tmp_path: Path) -> None:
    with Site({f"{A}/": html()}) as site:
        run_crawl(tmp_path, site)
    assert {seen.user_agent for seen in site.log} == {"SoEightBot/0.1.0 (+test@example.org)"}


def test_robots_txt_is_asked_first_and_once_and_obeyed(tmp_path: Path) -> None:
    rules = text("User-agent: *\nDisallow: /no\nUser-agent: SoEightBot/9\nDisallow: /ours")
    with Site(
        {
            ROBOTS: rules,
            f"{A}/": html("/no", "/ours", "/yes"),
            f"{A}/no": html(),
            f"{A}/yes": html(),
        }
    ) as site:
        outcome = run_crawl(tmp_path, site)
    assert site.urls[0] == ROBOTS
    assert site.urls.count(ROBOTS) == 1
    assert sorted(site.pages_asked()) == [f"{A}/", f"{A}/no", f"{A}/yes"]
    assert outcome_of(tmp_path, f"{A}/ours") == ("refused", "robots", ROBOTS)
    assert outcome.figures["refused"] == {"robots": 1}


def test_owners_words_on_the_page_decide_what_is_kept(tmp_path: Path) -> None:
    def meta(name: str, content: str, *links: str) -> Reply:
        return html(*links, head=f'<meta name="{name}" content="{content}">')

    tagged = html()
    pages = {
        f"{A}/": html("/noindex", "/nofollow", "/noai", "/tdm", "/tag", "/nd"),
        f"{A}/noindex": meta("robots", "noindex", "/behind-noindex"),
        f"{A}/behind-noindex": html(),
        f"{A}/nofollow": meta("robots", "nofollow", "/behind-nofollow"),
        f"{A}/noai": meta("soeightbot", "noai"),
        f"{A}/tdm": meta("tdm-reservation", "1"),
        f"{A}/tag": dataclasses.replace(
            tagged, headers={**tagged.headers, "X-Robots-Tag": "noarchive"}
        ),
        f"{A}/nd": html(
            head='<link rel="license" href="https://creativecommons.org/licenses/by-nd/4.0/">'
        ),
    }
    with Site(pages) as site:
        outcome = run_crawl(tmp_path, site)
    assert kept(tmp_path) == [f"{A}/", f"{A}/behind-noindex", f"{A}/nofollow"]
    assert f"{A}/behind-nofollow" not in site.urls
    assert outcome.figures["refused"] == {
        "licence-deny": 1,
        "noai": 1,
        "noarchive": 1,
        "noindex": 1,
        "tdm-reservation": 1,
    }


def test_links_with_nofollow_are_not_followed(tmp_path: Path) -> None:
    page = Reply(body=b'<a rel="nofollow" href="/x">x</a>', headers={"Content-Type": "text/html"})
    with Site({f"{A}/": page, f"{A}/x": html()}) as site:
        outcome = run_crawl(tmp_path, site)
    assert site.pages_asked() == [f"{A}/"]
    assert outcome.figures["links_ignored"] == {"nofollow": 1}


def test_each_hop_of_a_redirect_is_asked_of_robots_and_scope(tmp_path: Path) -> None:
    def to(url: str) -> Reply:
        return Reply(302, headers={"Location": url})

    with Site(
        {
            ROBOTS: text("User-agent: *\nDisallow: /no"),
            f"{A}/": html("/1", "/forbidden", "/away", "/loop", "/inside", "/bad"),
            f"{A}/1": to("/2"),
            f"{A}/2": to("/3?utm_source=x"),
            f"{A}/3": html(),
            f"{A}/forbidden": to("/no"),
            f"{A}/no": html(),
            f"{A}/away": to("http://elsewhere.example/"),
            f"{A}/loop": to("/loop"),
            f"{A}/inside": to("http://127.0.0.1/"),
            f"{A}/bad": to("javascript:1"),
        }
    ) as site:
        run_crawl(tmp_path, site, drop_parameters=("utm_*",))
    assert kept(tmp_path) == [f"{A}/", f"{A}/3"]
    assert f"{A}/no" not in site.urls
    assert outcome_of(tmp_path, f"{A}/no")[:2] == ("refused", "robots")
    assert outcome_of(tmp_path, "http://elsewhere.example/")[:2] == ("refused", "scope")
    assert outcome_of(tmp_path, "http://127.0.0.1/")[:2] == ("refused", "scope")
    assert outcome_of(tmp_path, f"{A}/bad")[:2] == ("failed", "redirect-malformed")
    assert site.urls.count(f"{A}/loop") == 1


def test_a_private_address_inside_the_scope_is_refused_by_the_guard(tmp_path: Path) -> None:
    with Site({f"{A}/": html("http://localhost/")}) as site:
        run_crawl(tmp_path, site, allowed_hosts=("a.example", "localhost"))
    state, rule, _ = outcome_of(tmp_path, "http://localhost/")
    assert (state, rule) == ("refused", "robots-unreachable")


def test_a_chain_of_redirects_ends_at_the_limit(tmp_path: Path) -> None:
    chain = {f"{A}/{hop}": Reply(301, headers={"Location": f"/{hop + 1}"}) for hop in range(1, 9)}
    with Site({f"{A}/": html("/1"), **chain}) as site:
        run_crawl(tmp_path, site, max_redirects=3)
    assert site.pages_asked() == [f"{A}/", f"{A}/1", f"{A}/2", f"{A}/3", f"{A}/4"]
    assert outcome_of(tmp_path, f"{A}/5")[:2] == ("refused", "redirects")


def test_a_page_that_is_busy_once_is_kept_after_the_time_it_asked_for(tmp_path: Path) -> None:
    busy = Reply(503, headers={"Retry-After": "1"})
    with Site(
        {f"{A}/": html("/busy", "/z"), f"{A}/busy": [busy, html()], f"{A}/z": html()}
    ) as site:
        outcome = run_crawl(tmp_path, site)
    assert kept(tmp_path) == [f"{A}/", f"{A}/busy", f"{A}/z"]
    assert outcome.figures["retries"] == 1
    after_busy = site.urls.index(f"{A}/busy")
    assert site.gaps_s("a.example")[after_busy] >= 1.0, "the whole host was to be left alone"


def test_what_fails_for_good_is_tried_a_limited_number_of_times(tmp_path: Path) -> None:
    with Site({f"{A}/": html("/500"), f"{A}/500": Reply(500)}) as site:
        outcome = run_crawl(tmp_path, site, max_retries=2)
    assert site.urls.count(f"{A}/500") == 3
    assert outcome.figures["failed"] == {"http-500": 1}


def test_a_host_that_asks_for_too_long_a_wait_is_left(tmp_path: Path) -> None:
    later = Reply(429, headers={"Retry-After": "9999"})
    with Site({f"{A}/": html("/1", "/2"), f"{A}/1": later, f"{A}/2": html()}) as site:
        outcome = run_crawl(tmp_path, site)
    assert f"{A}/2" not in site.urls
    assert outcome.figures["deferred"] == {"retry-after": 2}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_robots_txt_with_an_error_forbids_the_host_and_the_phase_says_so(
    tmp_path: Path, status: int
) -> None:
    with Site({ROBOTS: Reply(status), f"{A}/": html()}) as site:
        with pytest.raises(Unreachable) as caught:
            run_crawl(tmp_path, site, max_retries=1)
        assert site.urls == [ROBOTS, ROBOTS]
        assert caught.value.where == f"a.example: robots-unreachable HTTP {status}"
        site.answers[ROBOTS] = Reply(404)
        run_crawl(tmp_path, site, max_retries=1)
    assert kept(tmp_path) == [f"{A}/"], "the next attempt starts afresh"


def test_robots_txt_behind_a_redirect_to_another_host_counts_for_the_first(tmp_path: Path) -> None:
    with Site(
        {
            ROBOTS: Reply(301, headers={"Location": "http://b.example/rules"}),
            "http://b.example/rules": text("User-agent: *\nDisallow: /no"),
            f"{A}/": html("/no", "/yes"),
            f"{A}/yes": html(),
        }
    ) as site:
        run_crawl(tmp_path, site)
    assert kept(tmp_path) == [f"{A}/", f"{A}/yes"]
    assert site.urls[:2] == [ROBOTS, "http://b.example/rules"]


def test_one_request_at_a_time_and_never_earlier_than_the_delay(tmp_path: Path) -> None:
    pages = {f"{A}/": html(*(f"/{number}" for number in range(4)))}
    pages |= {f"{A}/{number}": html() for number in range(4)}
    with Site(pages, latency_s=0.02) as site:
        run_crawl(tmp_path, site, delay_s=0.08)
    assert site.most_at_once == 1
    assert len(site.log) == 8, "five pages, and three files of the owner's"
    assert min(site.gaps_s("a.example")) >= 0.08


def test_a_crawl_delay_is_kept_even_when_the_live_setting_is_shorter(tmp_path: Path) -> None:
    rules = text("User-agent: *\nCrawl-delay: 0.15")
    with Site(
        {ROBOTS: rules, f"{A}/": html("/1", "/2"), f"{A}/1": html(), f"{A}/2": html()}
    ) as site:
        ctx = context(tmp_path, **quick(site))
        crawl.run(dataclasses.replace(ctx, live=lambda: {"crawl.delay_s": 0.0}))
    assert min(site.gaps_s("a.example")) >= 0.15


def test_a_live_delay_slows_the_crawl(tmp_path: Path) -> None:
    with Site({f"{A}/": html("/1"), f"{A}/1": html()}) as site:
        ctx = context(tmp_path, **quick(site))
        crawl.run(dataclasses.replace(ctx, live=lambda: {"crawl.delay_s": 0.12}))
    assert min(site.gaps_s("a.example")) >= 0.12


async def _endless(request: web.BaseRequest) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/html"})
    await answer.prepare(request)
    while True:
        await answer.write(b"x" * 65_536)


async def _silent(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError


async def _short(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999\r\n\r\nshort"
    )
    request.transport.close()
    return web.Response()


def test_bodies_that_are_huge_endless_silent_or_lying_end_at_the_limits(tmp_path: Path) -> None:
    bomb = gzip.compress(b"0" * 20_000_000)
    pages = {
        f"{A}/": html("/bomb", "/endless", "/silent", "/short", "/image", "/good"),
        f"{A}/bomb": Reply(
            body=bomb, headers={"Content-Type": "text/html", "Content-Encoding": "gzip"}
        ),
        f"{A}/endless": _endless,
        f"{A}/silent": _silent,
        f"{A}/short": _short,
        f"{A}/image": Reply(body=b"x" * 100_000, headers={"Content-Type": "image/png"}),
        f"{A}/good": html(),
    }
    with Site(pages) as site:
        outcome = run_crawl(
            tmp_path, site, max_page_bytes=100_000, max_retries=0, read_timeout_s=0.3
        )
    assert kept(tmp_path) == [f"{A}/", f"{A}/good"]
    assert outcome.figures["refused"] == {"content-type": 1, "too-large": 2}
    assert outcome.figures["failed"] == {"network-broken-body": 1, "network-timeout": 1}


def test_the_index_says_where_and_how_each_page_is_kept(tmp_path: Path) -> None:
    body = (
        '<html><head><title>日本語　ページ taro@example.jp</title><base href="/b/">'
        '<link rel="canonical" href="c"><link rel="license" '
        'href="https://creativecommons.org/licenses/by/4.0/"></head>'
        '<body>本文<a href="x">x</a></body></html>'
    ).encode("cp932")
    page = Reply(body=body, headers={"Content-Type": "text/html; charset=Shift_JIS"})
    with Site({f"{A}/": page, f"{A}/b/x": html()}) as site:
        outcome = run_crawl(tmp_path, site)
    first = index(tmp_path)[0]
    assert first["url"] == f"{A}/"
    assert (first["charset"], first["title"]) == ("cp932", "日本語 ページ [e-mail]")
    assert first["canonical"] == f"{A}/b/c"
    assert first["licence"]["id"] == "CC-BY-4.0"
    assert first["robots"] == "allowed (allow-all, HTTP 404)"
    assert kept(tmp_path) == [f"{A}/", f"{A}/b/x"]
    assert outcome.figures["licences"] == {"CC-BY-4.0": 1, "none": 1}
    assert outcome.figures["charsets"] == {"cp932": 1, "utf-8": 1}


def tree(width: int = 4) -> dict[str, Reply]:
    """A start page, pages below it, and pages below those, over two hosts."""
    hosts = (A, "http://b.example")
    below = [f"{hosts[number % 2]}/{number}" for number in range(width)]
    pages = {f"{A}/": html(*reversed(below))}
    for page in below:
        deeper = [f"{page}/{number}" for number in range(width)]
        pages[page] = html(*deeper, f"{A}/", f"{below[0]}/0")
        pages |= {url: html(page) for url in deeper}
    return pages


def test_a_limit_of_pages_takes_the_first_by_depth_and_url(tmp_path: Path) -> None:
    with Site(tree()) as site:
        run_crawl(tmp_path, site, max_pages=7)
    expected = [f"{A}/", f"{A}/0", f"{A}/0/0", f"{A}/0/1", f"{A}/2"]
    assert kept(tmp_path) == [*expected, "http://b.example/1", "http://b.example/3"]
    assert len(site.pages_asked()) == 7


def test_a_limit_of_depth_is_recorded(tmp_path: Path) -> None:
    with Site(tree()) as site:
        outcome = run_crawl(tmp_path, site, max_depth=1)
    assert len(kept(tmp_path)) == 5
    assert outcome.figures["refused"] == {"depth": 16}


def test_order_and_latency_change_neither_pages_nor_digest(tmp_path: Path) -> None:
    digests = set()
    for name, latency_s, concurrency in (("x", 0.0, 1), ("y", 0.01, 8)):
        with Site(tree(), latency_s=latency_s) as site:
            outcome = run_crawl(tmp_path / name, site, max_pages=12, max_concurrency=concurrency)
        digests.add(outcome.digest)
    assert len(digests) == 1


def test_seeds_that_are_no_urls_or_out_of_scope_are_counted(tmp_path: Path) -> None:
    with Site({f"{A}/": html()}) as site:
        outcome = run_crawl(tmp_path, site, f"{A}/", "not a url", "http://other.example/")
    assert kept(tmp_path) == [f"{A}/"]
    assert outcome.figures["refused"] == {"scope": 1}
    assert outcome.figures["links_ignored"] == {"url-scheme": 1}


class Gate:
    """A pause gate that a test closes; tells when the phase has come to rest."""

    def __init__(self, hard: bool = False) -> None:
        self.closed = threading.Event()
        self.resting = threading.Event()
        self._hard = hard

    @property
    def requested(self) -> bool:
        return self.closed.is_set()

    def point(self, save: Callable[[], None] | None = None) -> None:
        raise AssertionError("the crawl waits in asyncio")

    async def apoint(self) -> None:
        if not self.closed.is_set():
            return
        self.resting.set()
        if self._hard:
            raise HardPause
        while self.closed.is_set():
            await asyncio.sleep(0.01)
        self.resting.clear()


def test_a_soft_pause_leaves_nothing_in_flight_and_then_goes_on(tmp_path: Path) -> None:
    gate = Gate()
    with Site(tree(), latency_s=0.05) as site:
        ctx = context(tmp_path, gate, **quick(site))
        crawling = threading.Thread(target=crawl.run, args=(ctx,))
        crawling.start()
        while len(site.log) < 5:
            time.sleep(0.01)
        gate.closed.set()
        assert gate.resting.wait(5)
        before = len(site.log)
        time.sleep(0.3)
        assert len(site.log) == before
        gate.closed.clear()
        crawling.join(20)
    assert len(kept(tmp_path)) == 21
    assert len(site.pages_asked()) == 21, "no page was asked for twice"


def test_a_request_that_does_not_end_is_given_up_for_a_pause_and_asked_again(
    tmp_path: Path,
) -> None:
    gate = Gate(hard=True)
    calls = []

    async def slow_once(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request.path)
        if len(calls) == 1:
            await asyncio.sleep(20)
        return web.Response(text="<p>slow</p>", content_type="text/html")

    with Site({f"{A}/": slow_once}) as site:
        ctx = context(tmp_path, gate, **quick(site))
        stopped = []

        def crawl_until_paused() -> None:
            try:
                crawl.run(ctx)
            except HardPause:
                stopped.append("paused")

        crawling = threading.Thread(target=crawl_until_paused)
        crawling.start()
        while not calls:
            time.sleep(0.01)
        gate.closed.set()
        crawling.join(10)
        assert stopped == ["paused"]
        run_crawl(tmp_path, site)
    assert kept(tmp_path) == [f"{A}/"]


def test_live_figures_name_states_refusals_and_newest_titles(tmp_path: Path) -> None:
    with Site({ROBOTS: text("User-agent: *\nDisallow: /no"), f"{A}/": html("/no")}) as site:
        ctx = context(tmp_path, **quick(site))
        crawl.run(ctx)
    assert isinstance(ctx.emit, RecordingEmitter)
    snapshots = [event["values"] for kind, event in ctx.emit.events if kind == "stats"]
    assert snapshots[-1]["frontier"]["kept"] == 1
    assert snapshots[-1]["refusals"] == {"robots": 1}
    assert snapshots[-1]["status"] == {"2xx": 2, "4xx": 2}
    items = [event for kind, event in ctx.emit.events if kind == "item"]
    assert items == [{"item": "page", "text": "題", "url": f"{A}/"}]


async def _two_places(request: web.BaseRequest) -> web.StreamResponse:
    reply = web.Response(status=302)
    reply.headers.add("Location", "/a")
    reply.headers.add("Location", "/b")
    return reply


def test_a_redirect_without_one_place_to_go_leads_nowhere(tmp_path: Path) -> None:
    pages: dict[str, Answer] = {
        f"{A}/": html("/none", "/two", "/port"),
        f"{A}/none": Reply(302),
        f"{A}/two": _two_places,
        f"{A}/port": Reply(301, headers={"Location": "http://a.example:25/"}),
    }
    with Site(pages) as site:
        outcome = run_crawl(tmp_path, site)
        assert sorted(site.pages_asked()) == sorted(pages)
    assert outcome.figures["failed"] == {"redirect-malformed": 3}

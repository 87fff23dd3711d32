"""The server: what it answers, what it remembers, and that its links lead where the facts say."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
from protego import Protego
from selectolax.lexbor import LexborHTMLParser

from so8t_core.demo.access_log import read_access_log
from so8t_core.demo.facts import gather_facts
from so8t_core.demo.site import DemoSite
from so8t_core.demo.source import load_hosts
from tests.demo.client import Answer, fetch

FACTS = gather_facts()
HANAMI = "http://www.so8t-demo.example/seasons/hanami.html"
ROBOTS = {host.name: Protego.parse(host.robots_txt) for host in load_hosts()}


def host_of(url: str) -> str:
    return url.removeprefix("http://").partition("/")[0]


def allowed(url: str) -> bool:
    return host_of(url) in ROBOTS and bool(ROBOTS[host_of(url)].can_fetch(url, "so8t"))


def followed(url: str, answer: Answer) -> list[str]:
    """Links that a polite crawler follows from an answer."""
    if answer.status in (301, 302):
        return [urljoin(url, answer.headers["Location"])]
    if not answer.headers.get("Content-Type", "").startswith("text/html"):
        return []
    tree = LexborHTMLParser(answer.body)
    meta = tree.css_first('meta[name="robots"]')
    robots = f"{meta.attributes['content'] if meta else ''} {answer.headers.get('X-Robots-Tag')}"
    if "nofollow" in robots:
        return []
    base = tree.css_first("base")
    start = str(base.attributes["href"]) if base else url
    return [
        urljoin(start, str(node.attributes["href"]))
        for node in tree.css("a[href]")
        if "nofollow" not in (node.attributes.get("rel") or "")
    ]


async def test_links_reach_the_open_pages_and_nothing_that_is_forbidden(state: Path) -> None:
    seen: dict[str, Answer] = {}
    async with DemoSite(state) as site, aiohttp.ClientSession() as session:
        waiting = deque(site.seeds)
        while waiting:
            url = waiting.popleft()
            if url in seen or not allowed(url):
                continue
            seen[url] = await fetch(site, url, session=session)
            if seen[url].status == 503:
                seen[url] = await fetch(site, url, session=session)
            waiting.extend(followed(url, seen[url]))
        log = read_access_log(site.access_log)

    months = {url for url in seen if url.startswith(tuple(FACTS.month_chains))}
    assert len(months) == sum(FACTS.month_chains.values())
    assert {url for url in seen if url in FACTS.open_pages} == FACTS.open_pages
    assert {url for url, answer in seen.items() if answer.status in (404, 410)} == FACTS.missing
    assert {url for url in seen if seen[url].status in (301, 302)} == set(FACTS.redirects)
    extra = set(seen) - FACTS.open_pages - FACTS.missing - set(FACTS.redirects) - months
    assert extra == {
        "http://www.so8t-demo.example/sitemap.xml",
        "http://www.so8t-demo.example/files/rainfall.csv",
    }
    assert not set(seen) & FACTS.forbidden
    assert {access.url for access in log} == set(seen)
    assert {access.url for access in log if access.status == 503} == set(FACTS.busy_once)


async def test_robots_txt_forbids_what_the_facts_call_forbidden(state: Path) -> None:
    members = {url for url in FACTS.forbidden if "/members/" in url}  # only nofollow guards them
    assert len(members) == 2
    assert not [url for url in FACTS.forbidden - members if allowed(url)]
    assert not [prefix for prefix in FACTS.forbidden_prefixes if allowed(prefix + "1")]
    assert all(allowed(url) for url in FACTS.open_pages | FACTS.sitemap_only)
    async with DemoSite(state) as site:
        for host in load_hosts():
            answer = await fetch(site, f"http://{host.name}/robots.txt")
            assert answer.body.decode() == host.robots_txt


async def test_the_sitemap_names_the_open_pages_and_the_hidden_one(state: Path) -> None:
    named: set[str] = set()
    async with DemoSite(state) as site:
        for host in ("www", "blog"):
            answer = await fetch(site, f"http://{host}.so8t-demo.example/sitemap.xml")
            named |= {node.text() for node in LexborHTMLParser(answer.body).css("loc")}
    assert named == FACTS.open_pages | FACTS.sitemap_only


async def test_a_busy_page_says_so_once_even_when_the_server_is_started_again(state: Path) -> None:
    ((url, wait_s),) = FACTS.busy_once.items()
    async with DemoSite(state) as site:
        first = await fetch(site, url)
    assert (first.status, first.headers["Retry-After"]) == (503, str(wait_s))
    async with DemoSite(state) as site:
        assert (await fetch(site, url)).status == 200


async def test_a_page_is_the_same_at_every_start(state: Path, tmp_path: Path) -> None:
    answers = []
    for folder in (state, tmp_path / "another"):
        async with DemoSite(folder) as site:
            answer = await fetch(site, HANAMI)
            answers.append((answer.body, answer.headers["ETag"], answer.headers["Last-Modified"]))
    assert answers[0] == answers[1]


async def test_a_known_etag_is_answered_without_a_body(state: Path) -> None:
    async with DemoSite(state) as site:
        etag = (await fetch(site, HANAMI)).headers["ETag"]
        again = await fetch(site, HANAMI, headers={"If-None-Match": etag})
    assert (again.status, again.body) == (304, b"")


async def test_a_noindex_in_the_response_header_is_sent(state: Path) -> None:
    async with DemoSite(state) as site:
        answer = await fetch(site, "http://www.so8t-demo.example/misc/header-noindex.html")
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"


async def test_a_host_or_method_that_is_not_served_is_refused(state: Path) -> None:
    async with DemoSite(state) as site:
        assert (await fetch(site, "http://other.example/")).status == 421
        assert (await fetch(site, HANAMI, method="POST")).status == 405
        head = await fetch(site, HANAMI, method="HEAD")
        assert (head.status, head.body) == (200, b"")


async def test_a_month_chain_ends(state: Path) -> None:
    async with DemoSite(state) as site:
        for prefix, length in FACTS.month_chains.items():
            assert (await fetch(site, f"{prefix}{length}")).status == 200
            assert (await fetch(site, f"{prefix}{length + 1}")).status == 404


async def test_the_access_log_tells_who_asked_for_what(state: Path) -> None:
    async with DemoSite(state) as site:
        await fetch(site, HANAMI + "?from=test", headers={"User-Agent": "so8t-test/1.0"})
        (access,) = read_access_log(site.access_log)
    assert access.url == HANAMI + "?from=test"
    assert (access.method, access.status, access.user_agent) == ("GET", 200, "so8t-test/1.0")
    assert access.started_s <= access.finished_s


async def test_a_line_that_a_kill_tore_is_cut_from_the_access_log(state: Path) -> None:
    async with DemoSite(state) as site:
        await fetch(site, HANAMI)
    with site.access_log.open("ab") as file:
        file.write(b'{"host": "www.so8')
    async with DemoSite(state) as site:
        await fetch(site, HANAMI)
        assert [access.url for access in read_access_log(site.access_log)] == [HANAMI, HANAMI]

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from so8t_core.crawl.sitemap import Listed, read_listing

from .site import Reply, Site, html
from .trial import kept, outcome_of, run_crawl

A = "http://a.example"
LIMITS = (100_000, 100)


def sitemap(*urls: str, index: bool = False, dates: tuple[str, ...] = ()) -> bytes:
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    stamps = [f"<lastmod>{date}</lastmod>" for date in dates] or [""] * len(urls)
    entries = "".join(
        f"<{inner}><loc> {url} </loc>{stamp}</{inner}>"
        for url, stamp in zip(urls, stamps, strict=True)
    )
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return f'<?xml version="1.0"?><{outer} xmlns="{space}">{entries}</{outer}>'.encode()


WIDE = sitemap("http://e.jp/あ").decode().replace('"1.0"', '"1.0" encoding="UTF-16"')
RSS = b"""<rss version="2.0"><channel><link>http://e.jp/</link>
<item><title>x</title><link>http://e.jp/1</link></item><item><link>http://e.jp/2</link></item>
<item><title>none</title></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><link href="http://e.jp/"/><entry>
<link rel="edit" href="http://e.jp/edit"/><link href="http://e.jp/1"/></entry></feed>"""


@pytest.mark.parametrize(
    ("body", "kind", "listed"),
    [
        (sitemap("http://e.jp/1", "/2"), "sitemap", Listed(("http://e.jp/1", "/2"))),
        (gzip.compress(sitemap("http://e.jp/1")), "sitemap", Listed(("http://e.jp/1",))),
        (sitemap("http://e.jp/s", index=True), "sitemap", Listed((), ("http://e.jp/s",))),
        (b"\xef\xbb\xbfhttp://e.jp/1\r\nno\nhttp://e.jp/2\n", "sitemap",
         Listed(("http://e.jp/1", "http://e.jp/2"))),
        (b"", "sitemap", Listed(())),
        (WIDE.encode("utf-16"), "sitemap", Listed(("http://e.jp/あ",))),
        (WIDE.encode("utf-16-be"), "sitemap", Listed(("http://e.jp/あ",))),
        (b"\xfe\xff" + WIDE.encode("utf-16-be"), "sitemap", Listed(("http://e.jp/あ",))),
        (gzip.compress(WIDE.encode("utf-16")), "sitemap", Listed(("http://e.jp/あ",))),
        ("http://e.jp/1\nhttp://e.jp/2".encode("utf-16"), "sitemap",
         Listed(("http://e.jp/1", "http://e.jp/2"))),
        (RSS, "feed", Listed(("http://e.jp/1", "http://e.jp/2"))),
        (ATOM, "feed", Listed(("http://e.jp/1",))),
        (b"{}", "feed", Listed((), trouble="no XML")),
    ],
    ids=["xml", "gzip", "index", "text", "empty", "utf-16", "utf-16-no-mark", "utf-16-be",
         "utf-16-gzip", "utf-16-text", "rss", "atom", "json"],
)  # fmt: skip
def test_every_form_is_read(body: bytes, kind: str, listed: Listed) -> None:
    assert read_listing(body, kind, LIMITS) == listed  # type: ignore[arg-type]


def test_of_too_many_urls_those_changed_last_are_taken() -> None:
    body = sitemap("http://e.jp/old", "http://e.jp/new", dates=("2001-01-01", "2026-01-01"))
    listed = read_listing(body, "sitemap", (100_000, 1))
    assert (listed.urls, listed.left_out) == (("http://e.jp/new",), 1)


def test_what_is_malformed_is_read_as_far_as_it_goes() -> None:
    body = sitemap("http://e.jp/1", "http://e.jp/2")
    listed = read_listing(body[:-30], "sitemap", LIMITS)
    assert listed.urls[0] == "http://e.jp/1"
    assert listed.trouble.startswith("malformed")
    assert read_listing(gzip.compress(body)[:-9], "sitemap", LIMITS).trouble


def test_bombs_of_entities_and_of_gzip_end_at_the_limits() -> None:
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
    assert read_listing(laughs, "sitemap", LIMITS).urls in ((), ("",))
    bomb = gzip.compress(sitemap("http://e.jp/1") + b" " * 50_000_000)
    assert read_listing(bomb, "sitemap", LIMITS).trouble == "longer than the limit"


def xml(body: bytes) -> Reply:
    return Reply(body=body, headers={"Content-Type": "application/xml"})


def test_sitemaps_and_feeds_lead_to_pages_that_nothing_links_to(tmp_path: Path) -> None:
    robots = f"User-agent: *\nDisallow: /no\nSitemap: {A}/index.xml\nSitemap: http://b.example/s\n"
    feed = '<link rel="alternate" type="application/rss+xml" href="/feed.xml">'
    pages = {
        f"{A}/robots.txt": Reply(body=robots.encode()),
        f"{A}/": html("/linked", head=feed),
        f"{A}/linked": html(text="a"),
        f"{A}/index.xml": xml(sitemap(f"{A}/part.xml.gz", f"{A}/broken.xml", index=True)),
        f"{A}/part.xml.gz": xml(gzip.compress(sitemap(f"{A}/mapped", f"{A}/no", "http://c.jp/"))),
        f"{A}/broken.xml": xml(b"<urlset><url><loc>x"),
        f"{A}/mapped": html(text="b"),
        f"{A}/feed.xml": xml(RSS.replace(b"http://e.jp/1", b"http://a.example/fed")),
        f"{A}/fed": html(text="c"),
    }
    with Site(pages) as site:
        outcome = run_crawl(tmp_path, site, allowed_hosts=("a.example",))
        assert f"{A}/no" not in site.urls
    assert kept(tmp_path) == [f"{A}/", f"{A}/fed", f"{A}/linked", f"{A}/mapped"]
    assert outcome_of(tmp_path, f"{A}/part.xml.gz")[:2] == ("done", "sitemap")
    assert outcome_of(tmp_path, f"{A}/broken.xml")[:2] == ("done", "sitemap")
    assert outcome_of(tmp_path, f"{A}/feed.xml")[:2] == ("done", "feed")
    assert outcome_of(tmp_path, "http://b.example/s")[:2] == ("refused", "scope")
    assert outcome_of(tmp_path, f"{A}/no")[:2] == ("refused", "robots")
    assert outcome.figures["listed_urls"] == 5


def test_sitemaps_and_feeds_can_be_left_alone(tmp_path: Path) -> None:
    robots = f"Sitemap: {A}/s.xml"
    pages = {f"{A}/robots.txt": Reply(body=robots.encode()), f"{A}/": html()}
    with Site(pages) as site:
        run_crawl(tmp_path, site, sitemaps=False)
        assert site.pages_asked() == [f"{A}/"]


def test_a_listing_that_is_cut_at_the_limit_says_so(tmp_path: Path) -> None:
    urls = [f"{A}/{number:05d}" for number in range(200)]
    pages = {
        f"{A}/robots.txt": Reply(body=f"Sitemap: {A}/s.xml".encode()),
        f"{A}/s.xml": Reply(body=sitemap(*urls)),
        f"{A}/": html(),
    }
    with Site(pages) as site:
        outcome = run_crawl(tmp_path, site, max_sitemap_bytes=2000)
    assert 10 < outcome.figures["listed_urls"] < 200
    assert outcome.figures["listings_in_part"] == 1
    with closing(sqlite3.connect(tmp_path / "crawl" / "frontier.db")) as db:
        query = "SELECT rule, detail FROM urls WHERE url = ?"
        told = db.execute(query, (f"{A}/s.xml",)).fetchone()
    assert told == ("sitemap", "cut at crawl.max_sitemap_bytes, 2000 bytes")


def test_a_listing_of_nothing_but_elements_is_not_read_to_its_end() -> None:
    body = b"<urlset><url><loc>http://e.jp/</loc></url>" + b"<x/>" * 1_000 + b"</urlset>"
    listed = read_listing(body, "sitemap", (100_000, 50))
    assert (listed.urls, listed.trouble) == (("http://e.jp/",), "more than 500 elements")
    assert read_listing(body, "sitemap", (100_000, 500)).trouble == ""

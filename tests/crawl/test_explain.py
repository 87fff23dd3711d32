import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from so8t_core.contract.errors import Unreachable
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.explain import Finding, Records, explain

from .site import Reply, Site, html
from .trial import quick, run_crawl

A = "http://a.example"
TERMS = "http://a.example/terms"


def found(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.question: finding for finding in findings}


def ask(
    root: Path | None, settings: CrawlSettings, url: str, *, now: bool = False
) -> dict[str, Finding]:
    path = None if root is None else root / "crawl" / "frontier.db"
    with closing(Records(path)) as records:
        return found(explain(url, settings, records, ask=now))


def pages() -> dict[str, Reply]:
    return {
        f"{A}/robots.txt": Reply(body=b"User-agent: *\nCrawl-delay: 0.01\nDisallow: /no"),
        f"{A}/": html("/no/1", "/gone", "http://b.example/"),
    }


def test_what_became_of_a_url_is_told_with_rule_source_and_time(tmp_path: Path) -> None:
    with Site(pages()) as site:
        settings = CrawlSettings.model_validate(quick(site))
        run_crawl(tmp_path, site)
    kept = ask(tmp_path, settings, "HTTP://a.example:80/#top")
    assert kept["canonical form"].answer == f"{A}/"
    assert kept["verdict"].answer == "was kept"
    assert kept["licence"].answer == "none, unknown"
    refused = ask(tmp_path, settings, f"{A}/no/1")["verdict"]
    assert refused.answer == "was refused robots Disallow: /no"
    assert refused.source == f"{A}/robots.txt"
    assert refused.at.startswith("20")
    assert ask(tmp_path, settings, f"{A}/gone")["verdict"].answer == "was failed http-404 Not Found"
    outside = ask(tmp_path, settings, "http://b.example/")["verdict"]
    assert (outside.answer, outside.source) == (
        *("was refused scope b.example", "crawl.allowed_hosts"),
    )


def test_what_would_become_of_a_url_is_told_from_what_its_owner_said(tmp_path: Path) -> None:
    with Site(pages()) as site:
        settings = CrawlSettings.model_validate(quick(site))
        run_crawl(tmp_path, site)
        asked = len(site.log)
        allowed = ask(tmp_path, settings, f"{A}/new")
        assert allowed["verdict"].answer == "would be fetched"
        assert allowed["owner's files"].answer == "rules, HTTP 200, Crawl-delay 0.01 s"
        forbidden = ask(tmp_path, settings, f"{A}/no/2")["verdict"]
        assert forbidden.answer == "would not be fetched: robots Disallow: /no"
        assert len(site.log) == asked, "nothing was asked of the server"


def test_without_a_run_the_owners_files_are_asked_for_only_on_request() -> None:
    with Site(pages()) as site:
        settings = CrawlSettings.model_validate(quick(site))
        unknown = ask(None, settings, f"{A}/no")["verdict"]
        assert unknown.answer.startswith("robots.txt would be asked first")
        assert site.log == []
        verdict = ask(None, settings, f"{A}/no", now=True)["verdict"]
        assert verdict.answer == "would not be fetched: robots Disallow: /no"
        assert site.urls[0] == f"{A}/robots.txt"
        assert site.pages_asked() == []


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("mailto:a@e.jp", "not fetched: url-scheme mailto"),
        ("http://c.example/", "would not be fetched: scope c.example"),
        ("http://a.example/x.zip", "would not be fetched: extension zip"),
        ("http://a.example/2999/01", "robots.txt would be asked first (--ask does so now)"),
        ("http://a.example/2150/01", "would not be fetched: trap-calendar 2150"),
    ],
)
def test_settings_decide_before_any_server(url: str, verdict: str) -> None:
    source = {"name": "A", "seeds": [f"{A}/"], "tier": 1, "terms": TERMS, "licence": "PDL-1.0"}
    settings = CrawlSettings.model_validate(
        {"source": "web", "contact": "x@e.jp", "sources": [source]}
    )
    told = ask(None, settings, url)
    assert told["verdict"].answer == verdict
    if url.startswith(A):
        assert (told["source"].answer, told["source"].source) == ("A, tier 1", TERMS)


def test_what_an_owner_said_more_than_a_day_ago_is_told_as_such(tmp_path: Path) -> None:
    with Site(pages()) as site:
        settings = CrawlSettings.model_validate(quick(site))
        run_crawl(tmp_path, site)
    with closing(sqlite3.connect(tmp_path / "crawl" / "frontier.db")) as db:
        db.execute("UPDATE robots SET fetched_at = fetched_at - 86401")
        db.commit()
    again = "robots.txt would be asked again first, since it is older than 24 h"
    allowed = ask(tmp_path, settings, f"{A}/new")
    assert allowed["verdict"].answer == again
    assert allowed["owner's files are stale"].answer == "older than 24 h"
    forbidden = ask(tmp_path, settings, f"{A}/no/2")["verdict"]
    assert forbidden.answer == f"{again}; as it was, it would not be fetched: robots Disallow: /no"
    outside = ask(tmp_path, settings, "http://c.example/")["verdict"]
    assert outside.answer == "would not be fetched: scope c.example"


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        ({"host_max_pages": 1}, "host-pages"),
        ({"max_pages": 1}, "max-pages"),
        ({"host_max_bytes": 1}, "host-budget"),
    ],
    ids=["host's pages", "pages", "host's bytes"],
)
def test_a_url_beyond_a_budget_would_not_be_fetched(
    tmp_path: Path, budget: dict[str, int], rule: str
) -> None:
    with Site(pages()) as site:
        settings = CrawlSettings.model_validate(quick(site, **budget))
        try:
            run_crawl(tmp_path, site, **budget)
        except Unreachable:
            assert rule == "host-budget"
    verdict = ask(tmp_path, settings, f"{A}/new")["verdict"].answer
    assert verdict.startswith(f"would not be fetched: {rule} ")

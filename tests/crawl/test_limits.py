"""Budgets, the breaker, sources with terms, and personal data in what is written down."""

import os
import stat
from pathlib import Path

import pytest

from so8t_core.contract.errors import StoreError, Unreachable
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.cdxj import url_key
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.hosts import HostBook
from so8t_core.crawl.masking import clean_title, mask_url
from so8t_core.crawl.patience import Patience
from so8t_core.crawl.politeness import Lanes
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.retention import expired, remove
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.store import Store
from so8t_core.phases import crawl
from so8t_core.phases.standalone import RecordingEmitter

from .site import Reply, Site, html
from .trial import context, index, kept, outcome_of, quick, run_crawl

A = "http://a.example"
B = "http://b.example"


def test_a_host_that_keeps_failing_is_left_alone_and_then_given_up(tmp_path: Path) -> None:
    pages = {f"{A}/": html(*(f"/{n}" for n in range(9)))}
    pages |= {f"{A}/{n}": Reply(500) for n in range(9)}
    with Site(pages) as site:
        outcome = run_crawl(
            tmp_path, site, max_retries=0, breaker_failures=2, breaker_rest_s=0.3,
            breaker_openings=2,
        )  # fmt: skip
        # two failures, a rest, a failure, a longer rest, a failure: given up
        assert len(site.pages_asked()) == 1 + 4
        gaps = site.gaps_s("a.example")[-2:]
    assert gaps[0] >= 0.3
    assert gaps[1] >= 0.6
    assert outcome.figures["failed"] == {"host-suspended": 5, "http-500": 4}


def test_an_answer_closes_the_breaker() -> None:
    standing = HostBook({}).of("a.jp")
    assert [standing.fail(2) for _ in range(3)] == [0, 1, 2]
    standing.succeed()
    assert [standing.fail(2) for _ in range(2)] == [0, 1]


def test_bytes_of_a_host_have_a_budget(tmp_path: Path) -> None:
    pages = {f"{A}/": html(*(f"/{n}" for n in range(5)))}
    pages |= {f"{A}/{n}": html(text="字" * 1000) for n in range(5)}
    with Site(pages) as site:
        run_crawl(tmp_path, site, host_max_bytes=5000)
    assert len(kept(tmp_path)) == 3
    state = outcome_of(tmp_path, f"{A}/4")
    assert state == ("refused", "host-budget", "crawl.host_max_bytes")


def test_time_with_a_host_has_a_budget_that_counts_its_delays_and_outlives_a_kill(
    tmp_path: Path,
) -> None:
    settings = CrawlSettings(delay_s=1.0, adaptive_delay=0.0, host_max_s=10.0)
    answer = Response(f"{A}/", 200, "OK", "HTTP/1.1", (), (), b"", "whole", 0.0, 0.0)
    used_up = Refusal("host-budget", "crawl.host_max_s", "10 of 10")
    for expected in (None, None, used_up):
        with Frontier(tmp_path / "frontier.db", "f") as frontier:
            patience = Patience(settings, Scope(settings), frontier, Lanes())
            assert patience.refuse("a.example") == expected
            patience.note("a.example", answer, 0, 4.0)  # and a second of delay
            frontier.commit()


def test_a_host_without_time_is_not_asked_for_a_page(tmp_path: Path) -> None:
    with Site({f"{A}/": html("/1"), f"{B}/": html(f"{A}/2")}) as site:
        run_crawl(tmp_path, site, f"{A}/", f"{B}/")
        fair = site.pages_asked()
        with pytest.raises(Unreachable) as caught:
            run_crawl(tmp_path / "none", site, f"{A}/", f"{B}/", host_max_s=0)
        assert site.pages_asked() == fair
    assert "a.example: host-budget 0 of 0; b.example: host-budget 0 of 0" in caught.value.where
    state = outcome_of(tmp_path / "none", f"{A}/")
    assert state == ("refused", "host-budget", "crawl.host_max_s")


def test_a_frontier_on_a_full_disk_ends_the_phase_and_a_resume_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"/{'long' * 50}/{number}" for number in range(60)]
    pages = {f"{A}/": html(*names)} | {f"{A}{name}": html(*names) for name in names}
    opened = Store.__init__

    def open_small(store: Store, path: Path) -> None:
        opened(store, path)
        store.writer.execute("PRAGMA max_page_count = 40")

    with Site(pages) as site:
        whole = run_crawl(tmp_path / "whole", site)
        asked = len(site.pages_asked())
        with monkeypatch.context() as small:
            small.setattr(Store, "__init__", open_small)
            with pytest.raises(StoreError, match="the disk is full") as caught:
                run_crawl(tmp_path / "full", site)
        assert "Free some space and resume" in caught.value.hint
        assert asked < len(site.pages_asked()) < 2 * asked
        assert run_crawl(tmp_path / "full", site).digest == whole.digest
        again = len(site.pages_asked()) - 2 * asked
    assert 0 <= again <= 1  # what was in flight, one request of the one host
    assert kept(tmp_path / "full") == kept(tmp_path / "whole")


def test_sources_have_tiers_terms_limits_and_paths(tmp_path: Path) -> None:
    pages = {
        f"{A}/ja/": html("/ja/1", "/en/1", f"{B}/"),
        f"{A}/ja/1": html("/ja/2"),
        f"{B}/": html("/1"),
        f"{B}/1": html(text="b"),
    }
    sources = [
        {"name": "B", "seeds": [f"{B}/"], "tier": 3, "max_pages": 1},
        {
            "name": "A", "seeds": [f"{A}/ja/"], "tier": 1, "paths": ["/ja/"],
            "terms": f"{A}/terms", "licence": "PDL-1.0",
        },
    ]  # fmt: skip
    with Site(pages) as site:
        tiers = {1: {"max_depth": 1}}
        run_crawl(tmp_path, site, seeds=(), allowed_hosts=(), sources=sources, tiers=tiers)
        first_of_b = next(n for n, url in enumerate(site.urls) if url.startswith(B))
        assert all(url.startswith(B) for url in site.urls[first_of_b:]), "trusted sources first"
    assert kept(tmp_path) == [f"{A}/ja/", f"{A}/ja/1", f"{B}/"]
    assert outcome_of(tmp_path, f"{A}/en/1") == ("refused", "scope", "crawl.sources, A: paths")
    assert outcome_of(tmp_path, f"{A}/ja/2")[:2] == ("refused", "depth")
    assert outcome_of(tmp_path, f"{B}/1")[:2] == ("refused", "host-pages")
    page = index(tmp_path)[0]
    assert (page["licence"]["id"], page["licence"]["decision"]) == ("PDL-1.0", "allow")
    assert page["licence"]["evidence"] == f"terms of A: {A}/terms"
    assert (page["tier"], page["terms"]) == (1, f"{A}/terms")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("連絡先 taro.yamada@example.co.jp まで", "連絡先 [e-mail] まで"),
        ("taro＠example.jp", "[e-mail]"),
        ("電話 03-1234-5678", "電話 [phone]"),
        ("電話０９０－１２３４－５６７８", "電話[phone]"),
        ("taro [at] example.jp です", "[e-mail] です"),
        ("電話 +81 90 1234 5678", "電話 [phone]"),
        ("携帯09012345678へ", "携帯[phone]へ"),
        ("番号 1234-5678-9012", "番号 [number]"),
        ("カード 4111 1111 1111 1111", "カード [number]"),
        ("令和8年 2026-11-28 の予定", "令和8年 2026-11-28 の予定"),
        ("第3章 12,345,678円", "第3章 12,345,678円"),
        ("題\u202e\x1b[31m\u200b名", "題[31m名"),
    ],
)
def test_personal_data_in_titles_is_masked(text: str, masked: str) -> None:
    assert clean_title(text) == masked


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("/?mail=a%40e.jp&x=1", "/?mail=[masked]&x=1"),
        ("/?x=1&Name=Taro", "/?x=1&Name=[masked]"),
        ("/?user[email]=x&my.firstName=y", "/?user[email]=[masked]&my.firstName=[masked]"),
        ("/?%E6%B0%8F%E5%90%8D=%E5%A4%AA%E9%83%8E&n=1", "/?%E6%B0%8F%E5%90%8D=[masked]&n=1"),
        ("/?tel1=090&tel2=1234", "/?tel1=[masked]&tel2=[masked]"),
        ("/x;email=taro;v=1", "/x;email=[masked];v=1"),
        ("/u/taro@e.jp/", "/u/[e-mail]/"),
        ("/u/taro%2540e.jp/", "/u/[e-mail]/"),
        ("/?to=taro%20(at)%20e.jp", "/?to=[e-mail]"),
        ("/?u=http%3A%2F%2Fx%2F%3Fm%3Dtaro%40e.jp", "/?u=http://x/?m=[e-mail]"),
        ("/?q=03-1234-5678", "/?q=[phone]"),
        ("/tel/090-1234-5678", "/tel/[phone]"),
        ("/tel/0312345678.html", "/tel/[phone].html"),
        ("/info_03_1234_5678.html", "/info_[phone].html"),
        ("/tel/090/1234/5678", "/tel/[phone]"),
        ("/a/0467-22-1234", "/a/[phone]"),
        ("/%2B81-90-1234-5678", "/[phone]"),
        ("/?q=81+90+1234+5678", "/?q=[phone]"),
        ("/%EF%BC%90%EF%BC%99%EF%BC%90%EF%BC%8D1234-5678/", "/[phone]/"),
        ("/c/1234_5678_9012", "/c/[number]"),
        *(
            (plain, plain)
            for plain in (
                "/docs/01-2024-0001.html",
                "/?page=2&id=12345",
                "/2026/11/28/0001-0002",
                "/articles/20261128123456",
                "/a/0120-123-456",
                "/isbn/9784061234567",
                "/?filename=z&page_name=q&hostname=1",
                "/~taro/%E3%81%82%2f?b=%zz",
                "/x?a&b=&c",
            )
        ),
    ],
)
def test_personal_data_in_urls_is_masked(url: str, masked: str) -> None:
    assert mask_url(A + url) == A + masked
    assert mask_url(A + masked) == A + masked


def test_pages_that_differ_in_what_is_masked_stay_apart(tmp_path: Path) -> None:
    links = [f"/tel/090-1234-567{digit}" for digit in range(3)]
    pages = {f"{A}/": html(*links)} | {f"{A}{link}": html(text=link) for link in links}
    with Site(pages) as site:
        run_crawl(tmp_path, site)
    shown = f"{A}/tel/[phone]"
    assert kept(tmp_path) == [f"{A}/", shown, f"{shown}#2", f"{shown}#3"]


def test_neither_journal_nor_index_has_personal_data(tmp_path: Path) -> None:
    url = f"{A}/u?mail=taro%40example.jp"
    footer = "<footer>© 灯台太郎 taro@example.jp All rights reserved. 責任者 灯台花子</footer>"
    page = Reply(
        body=f"<title>taro@example.jp 03-1234-5678</title><p>本文</p>{footer}".encode(),
        headers={"Content-Type": "text/html; charset=utf-8"},
    )
    phone = f"{A}/tel/03-1234-5678"
    with Site({f"{A}/": html(url, phone), url: page, phone: page}) as site:
        ctx = context(tmp_path, **quick(site))
        crawl.run(ctx)
    assert isinstance(ctx.emit, RecordingEmitter)
    told = str(ctx.emit.events)
    for name in ("pages.jsonl", "index.cdxj"):
        told += (tmp_path / "crawl" / name).read_text()
    assert "taro" not in told
    assert "灯台" not in told
    assert "footer: All rights reserved" in told
    assert "1234-5678" not in told
    assert f"{A}/u?mail=[masked]" in kept(tmp_path)


def test_what_a_crawl_writes_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with Site({f"{A}/": html()}) as site:
        run_crawl(tmp_path, site)
    files = [path for path in (tmp_path / "crawl").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".gz", ".cdxj", ".jsonl", ".db"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {"0o600"}


def test_files_beyond_their_retention_are_removed(tmp_path: Path) -> None:
    for name, age_days in (("crawl-00000.warc.gz", 31), ("crawl-00001.warc.gz", 29)):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1e9 - age_days * 86_400,) * 2)
    old = expired(tmp_path, 30, now=1e9)
    assert [path.name for path in old] == ["crawl-00000.warc.gz"]
    assert remove(old) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["crawl-00001.warc.gz"]


def test_a_crawl_whose_files_were_removed_starts_again(tmp_path: Path) -> None:
    with Site({f"{A}/": html("/1"), f"{A}/1": html()}) as site:
        first = run_crawl(tmp_path, site)
        assert remove(list((tmp_path / "crawl" / "warc").iterdir())) > 0
        again = run_crawl(tmp_path, site)
        assert len(site.pages_asked()) == 4
    assert again.digest == first.digest
    assert all(path.is_file() for path in again.outputs)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://www.Example.jp/", "jp,example)/"),
        ("https://example.jp/a/b/?b=2&a=1", "jp,example)/a/b?a=1&b=2"),
        ("http://example.jp:8080/A", "jp,example:8080)/a"),
        ("http://127.0.0.1:80/x", "127.0.0.1)/x"),
    ],
)
def test_urls_are_keyed_as_archives_key_them(url: str, key: str) -> None:
    assert url_key(url) == key

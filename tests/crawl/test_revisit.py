import re
from pathlib import Path

import pytest
from aiohttp import web
from warcio.archiveiterator import ArchiveIterator

from so8t_core.cleanse.source import index_rows, read_payload
from so8t_core.contract.errors import InputMissing
from so8t_core.crawl.records import IDENTICAL, NOT_MODIFIED
from so8t_core.phases import crawl

from .site import Answer, Reply, Site, html
from .trial import context, index, kept, quick, run_crawl

A = "http://a.example"
DATE = "Wed, 01 Jul 2026 00:00:00 GMT"


def tagged(body: Reply, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body=body.body, headers={**body.headers, **named})


def pages(asked: list[tuple[str, str | None, str | None]]) -> dict[str, Answer]:
    async def conditional(request: web.BaseRequest) -> web.StreamResponse:
        wants = (request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since"))
        asked.append((request.path, *wants))
        known = wants[0] == '"1"' or wants[1] == DATE
        headers = {"ETag": '"1"'} if request.path == "/etag" else {"Last-Modified": DATE}
        if known:
            return web.Response(status=304, headers=headers)
        text = f"<title>{request.path}</title><p>本文</p>"
        return web.Response(text=text, content_type="text/html", headers=headers)

    return {
        f"{A}/": html("/etag", "/dated", "/changed"),
        f"{A}/etag": conditional,
        f"{A}/dated": conditional,
        f"{A}/changed": [tagged(html(text="1"), ETag='"a"'), tagged(html(text="2"), ETag='"b"')],
    }


def test_what_has_not_changed_is_taken_from_the_earlier_crawl(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None, str | None]] = []
    with Site(pages(asked)) as site:
        run_crawl(tmp_path / "one", site)
        del asked[:]
        earlier = str(tmp_path / "one" / "crawl")
        outcome = run_crawl(tmp_path / "two", site, revisit=earlier)
    assert sorted(asked) == [("/dated", None, DATE), ("/etag", '"1"', None)]
    assert kept(tmp_path / "two") == kept(tmp_path / "one")
    assert outcome.figures["pages_unchanged"] == 3  # the start page came again as it was
    folder = tmp_path / "two" / "crawl"
    rows = [row for _, row in index_rows(folder)]
    bodies = {row.url: read_payload(folder, row) for row in rows}
    assert "本文".encode() in bodies[f"{A}/etag"]
    assert b"2" in bodies[f"{A}/changed"]
    first, second = (
        {page["url"]: page for page in index(tmp_path / name)} for name in ("one", "two")
    )
    assert first[f"{A}/etag"]["fetched_at"] == second[f"{A}/etag"]["fetched_at"]
    assert first[f"{A}/changed"]["fetched_at"] != second[f"{A}/changed"]["fetched_at"]


def test_a_revisit_record_names_the_earlier_one_and_a_third_crawl_goes_on(tmp_path: Path) -> None:
    with Site(pages([])) as site:
        run_crawl(tmp_path / "one", site)
        run_crawl(tmp_path / "two", site, revisit=str(tmp_path / "one" / "crawl"))
        third = run_crawl(tmp_path / "three", site, revisit=str(tmp_path / "two" / "crawl"))
    assert third.figures["pages_unchanged"] == 4
    revisits = []
    for path in (tmp_path / "two" / "crawl" / "warc").iterdir():
        with path.open("rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                record.content_stream().read()
                if record.rec_type == "revisit":
                    revisits.append(record.rec_headers)
    assert len(revisits) == 3
    page = next(page for page in index(tmp_path / "one") if page["url"] == f"{A}/etag")
    named = next(one for one in revisits if one.get_header("WARC-Target-URI") == f"{A}/etag")
    assert named.get_header("WARC-Profile") == NOT_MODIFIED
    assert named.get_header("WARC-Refers-To-Date") == page["fetched_at"]
    assert named.get_header("WARC-Payload-Digest") == page["digest"]
    lines = (tmp_path / "two" / "crawl" / "index.cdxj").read_text().splitlines()
    assert sum('"warc/revisit"' in line for line in lines) == 3
    assert lines == sorted(lines)


def test_a_body_that_came_again_is_a_revisit_with_its_new_head(tmp_path: Path) -> None:
    same = html(text="同じ")
    answers: dict[str, Answer] = {
        f"{A}/": html("/tagged", "/closed"),
        f"{A}/tagged": [tagged(same, ETag='"a"'), tagged(same, ETag='"b"')],
        f"{A}/closed": [same, tagged(same, X_Robots_Tag="noai")],
    }
    with Site(answers) as site:
        run_crawl(tmp_path / "one", site)
        outcome = run_crawl(tmp_path / "two", site, revisit=str(tmp_path / "one" / "crawl"))
    assert outcome.figures["pages_unchanged"] == 2  # the start page is the other
    assert kept(tmp_path / "two") == [f"{A}/", f"{A}/tagged"]  # the owner's new word counts
    first, second = (
        {page["url"]: page for page in index(tmp_path / name)}[f"{A}/tagged"]
        for name in ("one", "two")
    )
    assert (first["etag"], second["etag"]) == ('"a"', '"b"')
    assert first["digest"] == second["digest"]
    assert first["fetched_at"] == second["fetched_at"] < second["revisit"]["date"]
    revisits = {}
    for path in (tmp_path / "two" / "crawl" / "warc").iterdir():
        with path.open("rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                record.content_stream().read()
                if record.rec_type == "revisit":
                    revisits[record.rec_headers.get_header("WARC-Target-URI")] = record
    named = revisits[f"{A}/tagged"]
    assert named.rec_headers.get_header("WARC-Profile") == IDENTICAL
    assert named.rec_headers.get_header("WARC-Truncated") == "length"
    assert named.rec_headers.get_header("WARC-Refers-To-Date") == first["fetched_at"]
    assert named.rec_headers.get_header("WARC-Payload-Digest") == first["digest"]
    assert named.http_headers.get_statuscode() == "200"
    assert named.http_headers.get_header("ETag") == '"b"'
    folder = tmp_path / "two" / "crawl"
    rows = [row for _, row in index_rows(folder)]
    assert {read_payload(folder, row) for row in rows if row.url == f"{A}/tagged"} == {same.body}


def test_the_cdxj_index_leads_to_the_records(tmp_path: Path) -> None:
    with Site(pages([])) as site:
        run_crawl(tmp_path, site)
    line = (tmp_path / "crawl" / "index.cdxj").read_text().splitlines()[1]
    assert re.match(r"example,a\)/changed \d{14} \{", line)


def test_without_an_earlier_crawl_it_says_so(tmp_path: Path) -> None:
    with Site({f"{A}/": html()}) as site, pytest.raises(InputMissing, match="no earlier crawl"):
        crawl.run(context(tmp_path, **quick(site, revisit=str(tmp_path / "none"))))

import gzip
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from so8t_core.contract.errors import InputInvalid, InputMissing
from so8t_core.phases import crawl

from .site import Site, html
from .trial import context, index, kept, outcome_of, run_crawl

A = "http://a.example"


def crawled(root: Path) -> Path:
    """The WARC folder of a small crawl."""
    with Site({f"{A}/": html("/1", "/2"), f"{A}/1": html(text="一"), f"{A}/2": html()}) as site:
        run_crawl(root, site)
    return root / "crawl" / "warc"


def test_warc_files_give_the_same_pages_as_the_crawl_that_wrote_them(tmp_path: Path) -> None:
    warc = crawled(tmp_path / "first")
    original = index(tmp_path / "first")
    outcome = crawl.run(context(tmp_path / "second", source="warc", warc_files=(warc,)))
    copied = index(tmp_path / "second")
    for page, again in zip(original, copied, strict=True):
        for name in ("url", "sha256", "charset", "title", "offset", "length", "licence"):
            assert again[name] == page[name]
    assert copied[0]["warc"] == "input-00000.warc.gz"
    assert copied[0]["robots"] == "not asked (WARC input)"
    assert set(outcome.extra_inputs) == {"warc:input-00000.warc.gz"}
    assert outcome.figures["pages_kept"] == 3


def test_taking_in_again_changes_nothing(tmp_path: Path) -> None:
    warc = crawled(tmp_path / "first")
    ctx = context(tmp_path / "second", source="warc", warc_files=(warc, warc))
    first = crawl.run(ctx)
    assert first.figures["links_ignored"] == {"repeated": 3}
    assert crawl.run(ctx).digest == first.digest


def test_a_file_that_changed_is_taken_in_afresh(tmp_path: Path) -> None:
    file = tmp_path / "some.warc.gz"
    settings = {"source": "warc", "warc_files": (file,)}
    for path in ("old", "new"):
        file.unlink(missing_ok=True)
        write_warc(file, (f"{A}/{path}", "<p>頁".encode(), {}))
        crawl.run(context(tmp_path, **settings))
    assert kept(tmp_path) == [f"{A}/new"]


def write_warc(path: Path, *answers: tuple[str, bytes, dict[str, str]]) -> None:
    """A WARC file of response records: URL, body, headers."""
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=path.suffix == ".gz")
        for url, body, headers in answers:
            http = StatusAndHeaders(
                "200 OK", [("Content-Type", "text/html"), *headers.items()], protocol="HTTP/1.1"
            )
            writer.write_record(
                writer.create_warc_record(
                    url, "response", payload=BytesIO(body), length=len(body), http_headers=http
                )
            )


@pytest.mark.parametrize("name", ["in.warc", "in.warc.gz"])
def test_the_owners_words_count_for_warc_input_too(tmp_path: Path, name: str) -> None:
    write_warc(
        tmp_path / name,
        (f"{A}/", b"<p>x</p>", {}),
        (f"{A}/noai", b"<p>x</p>", {"X-Robots-Tag": "noai"}),
        (f"{A}/tdm", b"<meta name=tdm-reservation content=1>", {}),
        (f"{A}/zip", gzip.compress(b"<title>z</title>"), {"Content-Encoding": "gzip"}),
    )
    outcome = crawl.run(context(tmp_path / "run", source="warc", warc_files=(tmp_path / name,)))
    assert kept(tmp_path / "run") == [f"{A}/", f"{A}/zip"]
    assert index(tmp_path / "run")[1]["title"] == "z"
    assert outcome.figures["refused"] == {"noai": 1, "tdm-reservation": 1}


def test_a_record_whose_digest_is_wrong_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "in.warc"
    write_warc(path, (f"{A}/", b"<p>right</p>", {}), (f"{A}/2", b"<p>fine</p>", {}))
    path.write_bytes(path.read_bytes().replace(b"right", b"wrong"))
    crawl.run(context(tmp_path / "run", source="warc", warc_files=(path,)))
    assert kept(tmp_path / "run") == [f"{A}/2"]
    assert outcome_of(tmp_path / "run", f"{A}/")[:2] == ("failed", "warc-damaged")


def test_a_file_that_was_cut_short_loses_its_last_page_alone(tmp_path: Path) -> None:
    path = tmp_path / "in.warc.gz"
    write_warc(path, (f"{A}/", b"<p>1</p>", {}), (f"{A}/2", b"<p>2</p>" * 99, {}))
    path.write_bytes(path.read_bytes()[:-40])
    crawl.run(context(tmp_path / "run", source="warc", warc_files=(path,)))
    assert kept(tmp_path / "run") == [f"{A}/"]


# named: a compressed body carries the time of its making, and each test worker makes its own
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"no warc at all", id="plain"),
        pytest.param(gzip.compress(b"WARC/1.1\r\n" * 9, mtime=0), id="compressed"),
    ],
)
def test_a_file_that_is_no_warc_is_named(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "bad.warc.gz"
    path.write_bytes(body)
    with pytest.raises(InputInvalid) as caught:
        crawl.run(context(tmp_path / "run", source="warc", warc_files=(path,)))
    assert caught.value.where == str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        crawl.run(context(tmp_path / "run", source="warc", warc_files=(tmp_path / "none",)))
    assert caught.value.where == str(tmp_path / "none")


def test_bombs_and_encodings_that_are_not_undone_end_their_record(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, 1)
    file = tmp_path / "odd.warc.gz"
    write_warc(
        file,
        (f"{A}/bomb", bomb, {"Content-Encoding": "gzip"}),
        (f"{A}/brotli", b"\x1b\xff", {"Content-Encoding": "br"}),
        (f"{A}/deep", b"<div>" * 100_000, {}),
        (f"{A}/good", b"<p>x</p>", {}),
    )
    tracemalloc.start()
    crawl.run(context(tmp_path, source="warc", warc_files=(file,), max_page_bytes=1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000, "the reader unpacks a block of 16 kB at once, not all"
    assert kept(tmp_path) == [f"{A}/good"]
    assert outcome_of(tmp_path, f"{A}/bomb")[:2] == ("refused", "too-large")
    assert outcome_of(tmp_path, f"{A}/brotli")[:2] == ("failed", "encoding")
    assert outcome_of(tmp_path, f"{A}/deep")[:2] == ("refused", "too-nested")

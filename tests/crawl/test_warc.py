import errno
import os
import random
import stat
import zlib
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator

from so8t_core.contract.errors import StoreError
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.records import digest, page_records
from so8t_core.crawl.warc import Archive

LIMIT = 10_000_000


def packed(answer: Response, info: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    return page_records(answer, digest(answer.body), info)


def flush(archive: Archive) -> dict[str, int]:
    """Write what has gathered; the sizes of the files."""
    pending, ends = archive.take()
    archive.write(pending)
    return ends


def response(url: str, body: bytes) -> Response:
    return Response(
        url=url,
        status=200,
        reason="OK",
        version="HTTP/1.1",
        headers=(
            ("Content-Type", "text/html"),
            ("Content-Encoding", "gzip"),
            ("Content-Length", "7"),
            ("X-Title", "題"),
        ),
        request_headers=(("Host", "a.jp"), ("User-Agent", "SoEightBot/0 (+x)")),
        body=body,
        body_state="whole",
        sent_at=1_700_000_000.25,
        answered_at=0.0,
    )


def test_each_page_gives_three_records_with_right_digests(tmp_path: Path) -> None:
    with Archive(tmp_path, {}, LIMIT) as archive:
        place = archive.append(
            packed(response("http://a.jp/x?y", "本文".encode()), {"licence": "none"})
        )
        flush(archive)
    path = tmp_path / place.warc
    with path.open("rb") as file:
        iterator = ArchiveIterator(file, check_digests="raise")
        records = []
        for record in iterator:
            text = record.content_stream().read()
            records.append((record.rec_type, text, iterator.get_record_offset()))
            assert record.rec_headers.protocol == "WARC/1.1"
            if record.rec_type == "response":
                assert record.http_headers.get_header("Content-Encoding") is None
                assert record.http_headers.get_header("X-Archive-Orig-Content-Encoding") == "gzip"
                assert record.http_headers.get_header("Content-Length") == "6"
                assert iterator.get_record_length() == place.length
                assert record.rec_headers.get_header("WARC-Date") == "2023-11-14T22:13:20.250000Z"
            if record.rec_type == "request":
                assert record.http_headers.get_header("User-Agent") == "SoEightBot/0 (+x)"
                assert record.http_headers.statusline == "/x?y HTTP/1.1"
    assert [kind for kind, _, _ in records] == ["warcinfo", "response", "request", "metadata"]
    assert records[1] == ("response", "本文".encode(), place.offset)
    assert records[3][1] == b"licence: none\r\n"


def test_other_readers_find_the_page_at_its_place(tmp_path: Path) -> None:
    with Archive(tmp_path, {}, LIMIT) as archive:
        archive.append(packed(response("http://a.jp/1", b"one"), {}))
        place = archive.append(packed(response("http://a.jp/2", b"two"), {}))
        flush(archive)
    with (tmp_path / place.warc).open("rb") as file:
        file.seek(place.offset)
        record = next(iter(FastIterator(file, record_types=WarcRecordType.response)))
        assert record.headers["WARC-Target-URI"] == "http://a.jp/2"
        assert record.reader.read() == b"two"


@pytest.mark.parametrize("size_bytes", [0, 7_000, 9_000, 200_000])
def test_records_small_and_large_are_whole_gzip_members(size_bytes: int) -> None:
    body = random.Random(size_bytes).randbytes(size_bytes // 2) * 2
    for packed_record in packed(response("http://a.jp/", body), {"note": "x"}):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        plain = member.decompress(packed_record)
        assert member.eof
        assert not member.unused_data
        head, _, block = plain.partition(b"\r\n\r\n")
        length = int(head.split(b"Content-Length: ")[-1].split(b"\r\n")[0])
        assert block[length:] == b"\r\n\r\n"
        if b"WARC-Type: response" in head:
            assert block[:length].endswith(body)


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with Archive(tmp_path, {}, LIMIT) as archive:
        place = archive.append(packed(response("http://a.jp/", b"x"), {}))
        flush(archive)
    assert stat.S_IMODE(os.stat(tmp_path / place.warc).st_mode) == 0o600


def test_what_was_not_committed_is_cut_away(tmp_path: Path) -> None:
    with Archive(tmp_path, {}, LIMIT) as archive:
        archive.append(packed(response("http://a.jp/1", b"one"), {}))
        ((name, size_bytes),) = flush(archive).items()
        archive.append(packed(response("http://a.jp/2", b"two"), {}))
        flush(archive)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / "crawl-00001.warc.gz").write_bytes(b"never committed")
    with Archive(tmp_path, {name: size_bytes}, LIMIT) as archive:
        place = archive.append(packed(response("http://a.jp/3", b"three"), {}))
        assert (place.warc, place.offset) == (name, size_bytes)
        assert flush(archive)[name] == (tmp_path / name).stat().st_size
    assert (tmp_path / name).read_bytes()[:size_bytes] == whole[:size_bytes]
    assert not (tmp_path / "crawl-00001.warc.gz").exists()


def test_a_file_shorter_than_was_committed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="0 bytes, 10 were written"):
        Archive(tmp_path, {"crawl-00000.warc.gz": 10}, LIMIT)


def test_a_full_file_is_followed_by_the_next(tmp_path: Path) -> None:
    with Archive(tmp_path, {}, 2000) as archive:
        places = [
            archive.append(packed(response(f"http://a.jp/{number}", os.urandom(1200)), {}))
            for number in range(3)
        ]
        ends = flush(archive)
    names = [f"crawl-0000{number}.warc.gz" for number in range(3)]
    assert [place.warc for place in places] == names
    assert ends == {name: (tmp_path / name).stat().st_size for name in names}


def test_a_disk_that_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Archive(tmp_path, {}, LIMIT) as archive:
        archive.append(packed(response("http://a.jp/1", b"one"), {}))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device") as caught:
            flush(archive)
    assert "Free some space and resume" in caught.value.hint

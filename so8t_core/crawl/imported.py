"""Existing WARC files in place of a crawl: checked, taken into the run, indexed and judged."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from so8t_core.contract.errors import InputInvalid
from so8t_core.contract.files import fsync_path, replacing
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl import records
from so8t_core.crawl.assess import UNREADABLE, assess, refuse_media, unread
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.index import page_line, placed
from so8t_core.crawl.inputs import warc_files
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.url import BadUrl, canonicalise, host_of
from so8t_core.crawl.warc import Place
from so8t_core.crawl.windows import Entry
from so8t_core.phases.base import PhaseContext

_APPLIED_AT_ONCE = 200
_ENCODINGS = frozenset(("", "identity", "none", "gzip", "x-gzip", "deflate"))


def take_in(ctx: PhaseContext, settings: CrawlSettings, frontier: Frontier, folder: Path) -> None:
    """Bring every file into `folder` and index its pages.

    A file is indexed in one transaction: after a kill it is read again from its start.
    Raises `InputInvalid` for a file that is no record-compressed WARC.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = warc_files(settings)
    for done, (name, source) in enumerate(files, start=1):
        ctx.pause.point()
        target = folder / name
        if name not in frontier.archives():
            _link(ctx, source, target)
            for number, answer in enumerate(_answers(target, source, settings.max_page_bytes)):
                ctx.pause.point()
                _index(answer, settings, frontier)
                if number % _APPLIED_AT_ONCE == 0:
                    frontier.apply()
            frontier.set_archive(name, target.stat().st_size)
            frontier.commit()
        counts = frontier.census.counts()
        ctx.emit.progress(done, len(files), "WARC files", source.name)
        ctx.emit.stats({"frontier": counts, "refusals": frontier.census.rules("refused")})


def _link(ctx: PhaseContext, source: Path, target: Path) -> None:
    """A hard link where the file system permits it, else a copy."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
        fsync_path(target.parent)
    except OSError as error:
        ctx.emit.fallback("copied a WARC file", f"no hard link is possible: {error.strerror}")
        with replacing(target) as partial:
            shutil.copyfile(source, partial)
            partial.chmod(0o600)


@dataclass(frozen=True)
class _Answer:
    """A response record, its decoded body, where it lies, and whether its digests are wrong.

    The body is a byte longer than the limit where it is cut, and empty where its encoding is one
    that is not undone.
    """

    record: ArcWarcRecord
    body: bytes
    place: Place
    damaged: bool


def _body(record: ArcWarcRecord, max_bytes: int) -> bytes:
    """A record's body without its encoding, and one byte beyond the limit where it is longer."""
    encoding = record.http_headers and record.http_headers.get_header("Content-Encoding")
    if (encoding or "").strip().lower() not in _ENCODINGS:
        return b""
    stream, body = record.content_stream(), bytearray()
    while len(body) <= max_bytes and (piece := stream.read(max_bytes + 1 - len(body))):
        body += piece
    return bytes(body)


def _answers(path: Path, source: Path, max_bytes: int) -> Iterator[_Answer]:
    seen = 0
    try:
        with path.open("rb") as file:
            records = ArchiveIterator(file, check_digests=True)
            for record in records:
                seen += bool(record.rec_type)
                if record.rec_type == "response":
                    body = _body(record, max_bytes)
                    offset, length = records.get_record_offset(), records.get_record_length()
                    damaged = record.digest_checker.passed is False and len(body) <= max_bytes
                    yield _Answer(record, body, Place(path.name, offset, length), damaged)
        if not seen:
            raise ArchiveLoadFailed("it holds no record")
    except (ArchiveLoadFailed, EOFError, zlib.error) as error:
        raise InputInvalid(
            f"The file is not a usable WARC: {error}.",
            where=str(source),
            hint="Give plain WARC, or WARC with gzip per record (see `warcio recompress`).",
        ) from error


def _index(answer: _Answer, settings: CrawlSettings, frontier: Frontier) -> None:
    record = answer.record
    raw = record.rec_headers.get_header("WARC-Target-URI") or ""
    url = canonicalise(raw.strip("<>"), max_chars=settings.max_url_chars)
    if isinstance(url, BadUrl):
        frontier.tally(f"links.{url.rule}")
        return
    if frontier.known(url):
        frontier.tally("links.repeated")
        return
    entry = Entry(url, "page", tier=2, depth=0, hops=0, tries=0)
    frontier.add([(url, host_of(url), entry.tier, None)], depth=0)
    status = record.http_headers.get_statuscode() if record.http_headers else ""
    if status != "200":
        frontier.fail(entry, Refusal(f"http-{status or 'none'}", "WARC record"))
        return
    encoding = record.http_headers.get_header("Content-Encoding") or ""
    if encoding.strip().lower() not in _ENCODINGS:
        frontier.fail(entry, Refusal("encoding", "WARC record", encoding[:40]))
        return
    if answer.damaged:
        frontier.fail(entry, Refusal("warc-damaged", "WARC record", "its digest is wrong"))
        return
    _judge(entry, answer, settings, frontier)


def _judge(entry: Entry, answer: _Answer, settings: CrawlSettings, frontier: Frontier) -> None:
    body = answer.body
    headers = tuple(answer.record.http_headers.headers)
    content_type = answer.record.http_headers.get_header("Content-Type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    refusal = refuse_media(media_type, body, settings)
    if refusal is None and len(body) > settings.max_page_bytes:
        limit = f"more than {settings.max_page_bytes} bytes"
        refusal = Refusal("too-large", "crawl.max_page_bytes", limit)
    if refusal is None:
        try:
            found = assess(entry.url, headers, body, settings)
            refusal = found.refusal
        except UNREADABLE as error:
            refusal = unread(error)
    if refusal is not None:
        frontier.refuse(entry, refusal)
        return
    digest = hashlib.sha256(body).hexdigest()
    line = page_line(entry.url, 200, digest, media_type, "not asked (WARC input)", found)
    answered = answer.record.rec_headers
    line |= {
        "fetched_at": answered.get_header("WARC-Date") or "",
        "digest": answered.get_header("WARC-Payload-Digest") or records.digest(body),
        "etag": answer.record.http_headers.get_header("ETag") or "",
        "last_modified": answer.record.http_headers.get_header("Last-Modified") or "",
    }
    frontier.keep(entry, placed(line, answer.place))

"""Pages as the crawl left them: the page index and the WARC records it points into."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from fastwarc.warc import ArchiveIterator, WarcRecordType
from pydantic import ConfigDict

from so8t_core.cleanse.document import Frozen, Licence
from so8t_core.contract.errors import InputInvalid, InputMissing

INDEX_NAME = "pages.jsonl"
WARC_FOLDER = "warc"

# What browsers read under these names (WHATWG Encoding Standard, section 4.2).
_WEB_CHARSETS = {
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "iso-8859-1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}


class RecordDamaged(Exception):
    """The WARC record of a page cannot be read, or is not the one that the index means.

    Caught by the pipeline, which counts the page as dropped.
    """


class PageRow(Frozen):
    """One line of the page index; fields that cleansing does not need are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    sha256: str
    warc: str
    offset: int
    length: int
    charset: str = "utf-8"
    title: str = ""
    licence: Licence = Licence()

    @property
    def host(self) -> str:
        """Host name of the page, in lower case; empty where the URL has none."""
        return urlsplit(self.url).hostname or ""


class IndexEntry(NamedTuple):
    """A page of the index: its URL, where its line begins in bytes, and the hash of the line."""

    url: str
    place: int
    digest: bytes


def read_index(crawl: Path) -> list[IndexEntry]:
    """All pages of a crawl, by URL; the lines themselves stay on disk.

    Raises `InputMissing` without an index and `InputInvalid` where a line is not a page.
    """
    path = crawl / INDEX_NAME
    if not path.is_file():
        raise InputMissing(
            "The crawl left no page index.",
            where=str(path),
            hint="Run the crawl phase again; its index is written last.",
        )
    return sorted(_entries(path))


def _entries(path: Path) -> Iterator[IndexEntry]:
    place = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = PageRow.model_validate_json(line)
            except ValueError as error:
                raise InputInvalid(
                    "A line of the page index does not describe a page.",
                    where=f"{path}:{number}",
                    hint="Run the crawl phase again.",
                ) from error
            yield IndexEntry(
                row.url, place, hashlib.sha256(row.model_dump_json().encode()).digest()
            )
            place += len(line)


def index_digest(entries: Sequence[IndexEntry]) -> str:
    """Identity of what the index says, whatever the order of its lines."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(entry.digest)
    return digest.hexdigest()


def rows_at(crawl: Path, places: Sequence[int]) -> Iterator[PageRow]:
    """The pages whose lines begin at these places."""
    with (crawl / INDEX_NAME).open("rb") as lines:
        for place in places:
            lines.seek(place)
            yield PageRow.model_validate_json(lines.readline())


def read_payload(crawl: Path, row: PageRow) -> bytes:
    """The page's bytes, checked against the digest in the index.

    Raises `RecordDamaged` where the record cannot be read or is another one.
    """
    path = crawl / WARC_FOLDER / Path(row.warc).name
    try:
        with path.open("rb") as stream:
            stream.seek(row.offset)
            for record in ArchiveIterator(
                stream, record_types=WarcRecordType.response, parse_http=True, auto_decode="all"
            ):
                payload: bytes = record.reader.read()
                break
            else:
                raise RecordDamaged("no response record")
    except (OSError, EOFError, ValueError) as error:
        raise RecordDamaged(type(error).__name__) from error
    if hashlib.sha256(payload).hexdigest() != row.sha256.removeprefix("sha256:"):
        raise RecordDamaged("digest differs from the index")
    return payload


def decode(payload: bytes, charset: str) -> str | None:
    """The page as text; bytes that do not fit become U+FFFD. None for an unknown charset."""
    name = charset.strip().lower()
    try:
        codec = codecs.lookup(_WEB_CHARSETS.get(name, name))
    except LookupError:
        return None
    return codec.decode(payload, "replace")[0]

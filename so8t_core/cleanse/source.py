"""Pages as the crawl left them: the page index and the WARC records it points into."""

from __future__ import annotations

import codecs
import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fastwarc.warc import ArchiveIterator, WarcRecordType
from pydantic import ConfigDict

from so8t_core.cleanse.document import Frozen, Licence
from so8t_core.cleanse.sorting import Sorter
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


@dataclass(frozen=True)
class PageIndex:
    """The pages of a crawl: where their lines begin in the index, in the order of URLs.

    `digest` is the identity of what the index says, whatever the order of its lines. The lines
    themselves stay on disk; memory holds 8 bytes a page.
    """

    places: array[int]
    digest: str

    def __len__(self) -> int:
        return len(self.places)


def read_index(crawl: Path, scratch: Path) -> PageIndex:
    """The pages of a crawl; `scratch` is a folder for sorting them.

    Raises `InputMissing` without an index and `InputInvalid` where a line is not a page.
    """
    entries = Sorter(scratch, "index")
    for place, row in index_rows(crawl):
        entries.add(row.url, place, hashlib.sha256(row.model_dump_json().encode()).hexdigest())
    places, digest = array("Q"), hashlib.sha256()
    for _, place, line_digest in entries:
        places.append(place)
        digest.update(bytes.fromhex(line_digest))
    return PageIndex(places, digest.hexdigest())


def index_rows(crawl: Path) -> Iterator[tuple[int, PageRow]]:
    """Every page of the index with the place of its line, in the order of the file.

    Raises as `read_index` does.
    """
    path = crawl / INDEX_NAME
    if not path.is_file():
        raise InputMissing(
            "The crawl left no page index.",
            where=str(path),
            hint="Run the crawl phase again; its index is written last.",
        )
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
            yield place, row
            place += len(line)


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

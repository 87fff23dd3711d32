"""An earlier crawl's pages: what to ask with, and what to take where nothing has changed."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

from so8t_core.contract.errors import InputMissing, StoreError
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.records import digest

FRONTIER_NAME = "frontier.db"
WARC_FOLDER = "warc"


_NEEDED = frozenset(("url", "digest", "fetched_at", "warc", "offset", "length"))
_OF_A_BODY = ("content-", "transfer-")
"""Headers that describe a body, of which a 304 has none."""


@dataclass(frozen=True)
class EarlierPage:
    """A page of an earlier crawl: its line of the index, and its response record as it lies."""

    line: dict[str, Any]
    record: bytes

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the page only if it has changed."""
        wanted = {
            "If-None-Match": self.line.get("etag"),
            "If-Modified-Since": self.line.get("last_modified"),
        }
        return {name: value for name, value in wanted.items() if value}

    @property
    def is_whole(self) -> bool:
        """Whether the record is the one that was written: the page's, with its payload."""
        try:
            for record in self._records():
                wanted = (self.line["url"], self.line["digest"])
                body = record.reader.read()
                return (record.headers["WARC-Target-URI"], digest(body)) == wanted
        except (ValueError, OSError, RuntimeError, KeyError):
            return False
        return False

    def _records(self) -> Iterator[Any]:
        stream = BytesIO(self.record)
        records: Iterator[Any] = iter(
            ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True)
        )
        return records

    def answer(self, unchanged: Response) -> Response:
        """The earlier answer in place of a 304, with the new request and its time.

        What the 304 says of itself takes the place of what was said before, so that an owner's new
        wish counts. Source: RFC 9111, section 3.2.
        """
        fresh = tuple(
            (name, value)
            for name, value in unchanged.headers
            if not name.lower().startswith(_OF_A_BODY)
        )
        said = {name.lower() for name, _ in fresh}
        for record in self._records():
            kept = tuple((n, v) for n, v in record.http_headers if n.lower() not in said)
            return dataclasses.replace(
                unchanged, status=200, headers=kept + fresh, body=record.reader.read()
            )
        raise StoreError(
            "A page of the earlier crawl has no record.",
            where=str(self.line.get("warc")),
            hint="Crawl without crawl.revisit, or name another folder.",
        )


class Earlier:
    """The frontier and the archive of an earlier crawl, read only."""

    def __init__(self, folder: Path) -> None:
        """Raises `InputMissing` where the folder holds no crawl."""
        self._folder = folder
        path = folder / FRONTIER_NAME
        if not path.is_file():
            raise InputMissing(
                "There is no earlier crawl.",
                where=str(folder),
                hint="Correct crawl.revisit: the `crawl` folder of a run, or leave it out.",
            )
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.damaged: set[str] = set()
        """URLs of pages whose records are not what they were; they are asked for in full."""
        self._line("")

    def close(self) -> None:
        """Close the earlier frontier."""
        self._db.close()

    def page(self, url: str) -> EarlierPage | None:
        """What is known of a URL; None where it was not kept, or its record is gone or damaged.

        Raises `StoreError` where the earlier frontier cannot be read.
        """
        line = self._line(url)
        if line is None:
            return None
        path = self._folder / WARC_FOLDER / Path(line["warc"]).name
        if not path.is_file():
            return None
        with path.open("rb") as file:
            file.seek(line["offset"])
            found = EarlierPage(line, file.read(line["length"]))
        if found.is_whole:
            return found
        self.damaged.add(url)
        return None

    def _line(self, url: str) -> dict[str, Any] | None:
        query = "SELECT line FROM pages WHERE url = ?"
        try:
            row = self._db.execute(query, (url,)).fetchone()
            line = None if row is None else json.loads(row[0])
            if line is not None and not line.keys() >= _NEEDED:
                raise ValueError("a page of it has no record")
        except (sqlite3.DatabaseError, ValueError, AttributeError) as error:
            raise StoreError(
                f"The earlier crawl's frontier cannot be read: {error}.",
                where=str(self._folder / FRONTIER_NAME),
                hint="Crawl without crawl.revisit, or name another folder.",
            ) from error
        return line

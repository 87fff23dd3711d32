"""WARC 1.1 output that can be cut back to what the frontier has committed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import fsync_path
from so8t_core.crawl.fetcher import Response

_TRANSPORT_HEADERS = frozenset({"content-encoding", "transfer-encoding", "content-length"})
_PREFIX = "crawl-"
_SUFFIX = ".warc.gz"


@dataclass(frozen=True)
class Place:
    """Where a response record lies: the file's name, and offset and length in bytes."""

    warc: str
    offset: int
    length: int


class Archive:
    """The WARC files of a crawl, written in order and readable by their owner alone.

    A body is stored as it was decoded: the payload digest is then the page's, whatever
    compression the server chose. Headers that described the transport are kept with the prefix
    `X-Archive-Orig-`. Source: ISO 28500:2017 (WARC 1.1).
    """

    def __init__(self, folder: Path, committed: Mapping[str, int], max_bytes: int) -> None:
        """Cut the files back to their `committed` sizes and remove those that have none.

        Raises `StoreError` where a file is shorter than was committed.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
            if path.name not in committed:
                path.unlink()
        for name, size_bytes in committed.items():
            _cut_back(folder / name, size_bytes)
        self._file: BinaryIO | None = None
        self._name = max(committed, default="")
        if self._name:
            self._file = _open(folder / self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, response: Response, info: Mapping[str, str]) -> Place:
        """Write response, request and metadata (`info`) records of one page."""
        file = self._writable(len(response.body))
        date = datetime.fromtimestamp(response.sent_at, UTC).isoformat().replace("+00:00", "Z")
        buffer = BytesIO()
        writer = WARCWriter(buffer, gzip=True, warc_version="1.1")
        answer = writer.create_warc_record(
            response.url,
            "response",
            payload=BytesIO(response.body),
            length=len(response.body),
            http_headers=_response_headers(response),
            warc_headers_dict={"WARC-Date": date},
        )
        writer.write_record(answer)
        length = buffer.tell()
        concurrent = {
            "WARC-Date": date,
            "WARC-Concurrent-To": answer.rec_headers.get_header("WARC-Record-ID"),
        }
        _, _, _, target = response.url.split("/", 3)
        asked = StatusAndHeaders(
            f"GET /{target} HTTP/1.1", list(response.request_headers), is_http_request=True
        )
        writer.write_record(
            writer.create_warc_record(
                response.url, "request", http_headers=asked, warc_headers_dict=dict(concurrent)
            )
        )
        fields = "".join(f"{name}: {value}\r\n" for name, value in info.items()).encode()
        writer.write_record(
            writer.create_warc_record(
                response.url,
                "metadata",
                payload=BytesIO(fields),
                length=len(fields),
                warc_content_type="application/warc-fields",
                warc_headers_dict=dict(concurrent),
            )
        )
        offset = file.tell()
        file.write(buffer.getvalue())
        return Place(self._name, offset, length)

    def sync(self) -> tuple[str, int] | None:
        """Make what was written durable; the current file's name and size, None without one."""
        if self._file is None:
            return None
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._name, self._file.tell()

    def full(self, coming_bytes: int) -> bool:
        """Whether the next page belongs into a new file: commit first, then append."""
        return self._file is not None and self._file.tell() + coming_bytes > self._max_bytes

    def _writable(self, coming_bytes: int) -> BinaryIO:
        if self._file is not None and not self.full(coming_bytes):
            return self._file
        number = int(self._name[len(_PREFIX) : -len(_SUFFIX)]) + 1 if self._name else 0
        if self._file is not None:
            self._file.close()
        self._name = f"{_PREFIX}{number:05d}{_SUFFIX}"
        self._file = _open(self._folder / self._name)
        fsync_path(self._folder)
        writer = WARCWriter(self._file, gzip=True, warc_version="1.1")
        writer.write_record(
            writer.create_warcinfo_record(
                self._name,
                {"software": "so8t", "format": "WARC File Format 1.1", "robots": "obeyed"},
            )
        )
        return self._file


def _open(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    file = os.fdopen(descriptor, "r+b")
    file.seek(0, os.SEEK_END)
    return file


def _cut_back(path: Path, size_bytes: int) -> None:
    found = path.stat().st_size if path.is_file() else 0
    if found < size_bytes:
        raise StoreError(
            f"A WARC file of the crawl has {found} bytes, {size_bytes} were written.",
            where=str(path),
            hint="Remove the run's crawl folder; the crawl starts again.",
        )
    if found > size_bytes:
        os.truncate(path, size_bytes)
        fsync_path(path)


def _response_headers(response: Response) -> StatusAndHeaders:
    headers = []
    for name, value in response.headers:
        prefix = "X-Archive-Orig-" if name.lower() in _TRANSPORT_HEADERS else ""
        headers.append((prefix + name, value))
    headers.append(("Content-Length", str(len(response.body))))
    status = f"{response.status} {response.reason}".strip()
    return StatusAndHeaders(status, headers, protocol=response.version)

"""The WARC files of a crawl, which can be cut back to what the frontier has committed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import fsync_path
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.records import new_id, request_record, revisit_record, warcinfo

_PREFIX = "crawl-"
_SUFFIX = ".warc.gz"
_ABOUT = {"software": "so8t", "format": "WARC File Format 1.1", "robots": "obeyed"}


@dataclass(frozen=True)
class Place:
    """Where a response record lies: the file's name, and offset and length in bytes."""

    warc: str
    offset: int
    length: int


Pending = list[tuple[str, bytes]]
"""Bytes to be written, each with the name of its file."""


class Archive:
    """The WARC files of a crawl, written in order and readable by their owner alone.

    Records gather in memory; `take` and `write` bring them to disk, `write` in a thread if wanted.
    """

    def __init__(self, folder: Path, committed: Mapping[str, int], max_bytes: int) -> None:
        """Cut the files back to their `committed` sizes and remove those that have none.

        Raises `StoreError` where a file is shorter than was committed.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder of the crawl's WARC files cannot be made: {error.strerror}.",
                where=str(folder),
                hint="Remove what stands in its place, and resume.",
            ) from error
        for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
            if path.name not in committed:
                path.unlink()
        for name, size_bytes in committed.items():
            _cut_back(folder / name, size_bytes)
        self._name = max(committed, default="")
        self._end = committed[self._name] if self._name else 0
        self._ends: dict[str, int] = {}
        self._pending: Pending = []
        self._file: BinaryIO | None = None
        self._file_name = ""

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

    def append(self, records: Sequence[bytes]) -> Place:
        """Take in the records of one page, the response's first; the place of that one."""
        first, *others = records
        place = self._put(first)
        for data in others:
            self._put(data, together=True)
        return place

    def append_revisit(
        self, answer: Response, profile: str, earlier: bytes, of: tuple[str, str]
    ) -> tuple[Place, Place]:
        """Take in the earlier response record as it was (`earlier`), and a revisit that names it.

        `of`: the payload's digest and the earlier record's WARC-Date. The copy keeps this archive
        complete in itself. Gives the places of the copy and of the revisit record.
        """
        record_id = new_id()
        copy = self._put(earlier)
        revisit = self._put(revisit_record(answer, record_id, profile, *of), together=True)
        self._put(request_record(answer, record_id), together=True)
        return copy, revisit

    def take(self) -> tuple[Pending, dict[str, int]]:
        """What is to be written, and the size that each of its files then has."""
        pending, self._pending = self._pending, []
        ends = {name: self._ends[name] for name, _ in pending}
        self._ends = {self._name: self._end}
        return pending, ends

    def write(self, pending: Pending) -> None:
        """Write and make durable. One call at a time; a full disk is a `StoreError`."""
        try:
            for name, data in _merged(pending):
                file = self._opened(name)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(
                f"A WARC file of the crawl cannot be written: {error.strerror}.",
                where=str(self._folder / self._file_name),
                hint="Free some space and resume; nothing that was reported is lost.",
            ) from error

    def _put(self, data: bytes, *, together: bool = False) -> Place:
        """Place bytes in the current file; a new one where it is full, unless kept `together`."""
        if not self._name or (not together and self._end + len(data) > self._max_bytes):
            number = int(self._name[len(_PREFIX) : -len(_SUFFIX)]) + 1 if self._name else 0
            self._name = f"{_PREFIX}{number:05d}{_SUFFIX}"
            head = warcinfo(self._name, _ABOUT)
            self._pending.append((self._name, head))
            self._end = len(head)
        place = Place(self._name, self._end, len(data))
        self._pending.append((self._name, data))
        self._end += len(data)
        self._ends[self._name] = self._end
        return place

    def _opened(self, name: str) -> BinaryIO:
        if self._file is None or self._file_name != name:
            if self._file is not None:
                self._file.close()
            descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
            self._file, self._file_name = os.fdopen(descriptor, "r+b"), name
            self._file.seek(0, os.SEEK_END)
            fsync_path(self._folder)
        return self._file


def _merged(pending: Pending) -> list[tuple[str, bytes]]:
    """One piece for each file."""
    pieces: dict[str, list[bytes]] = {}
    for name, data in pending:
        pieces.setdefault(name, []).append(data)
    return [(name, b"".join(parts)) for name, parts in pieces.items()]


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

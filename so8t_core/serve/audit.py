"""The audit log as the server writes it: durable before an answer leaves, or no answer."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import AuditError
from so8t_core.contract.files import fsync_path
from so8t_core.contract.manifest import utc_now
from so8t_core.contract.settings.serve import AuditSettings
from so8t_core.serve.audit_head import HeadFile, mark_path
from so8t_core.serve.audit_keys import AuditKeys
from so8t_core.serve.audit_lock import closed, take_lock, unwritable
from so8t_core.serve.audit_record import (
    SIGNED,
    Entry,
    Kind,
    Link,
    Record,
    Served,
    Writer,
    line_of,
)
from so8t_core.serve.audit_recovery import recover
from so8t_core.serve.audit_verify import file_name, log_files
from so8t_core.serve.logs import Event, say

_COUNTS_EVERY_S = 60.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, repr=False)
class _Wanted:
    """Something to be written: a request, or None for a rotation."""

    entry: Entry | None
    done: Future[int]


class AuditLog:
    """One writer, in a thread of its own; what arrives together is made durable together.

    Opening it raises `AuditError` where the log is not as it was left, is held by another server,
    or cannot be written.
    """

    def __init__(self, settings: AuditSettings, keys: AuditKeys, served: Served) -> None:
        self._settings = settings
        self._folder = settings.folder.absolute()
        self._condition = threading.Condition()
        self._queue: list[_Wanted] = []
        self._closing = False
        self._broken = False
        self._turned_away: Counter[str] = Counter()
        self._lock = take_lock(self._folder)
        try:
            state, cut_bytes = recover(settings, keys)
            self._link = state.link
            self._since_checkpoint = 0
            self._writer = Writer(keys, state.log or secrets.token_hex(8), served)
            self._head = HeadFile(settings.head_file.absolute(), keys, self._writer.log)
            self._mark = _opened_mark(settings, keys, self._writer.log)
            self._number = len(log_files(self._folder)) or 1
            self._descriptor = self._open_file(self._number)
            self._size = os.fstat(self._descriptor).st_size
            self._write([self._signed(Kind.OPENED, self._link, cut_bytes=cut_bytes)])
        except OSError as error:
            os.close(self._lock)
            raise unwritable(error, self._folder) from error
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether it can still be written."""
        return not self._broken

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._folder / file_name(self._number)

    def turn_away(self, reason: str) -> None:
        """Count a request that was refused before it got anywhere.

        The next record states it: that of a request, or a signed one after a minute or at the end.
        """
        with self._condition:
            self._turned_away[reason] += 1

    async def append(self, entry: Entry) -> int:
        """Write the record of a request; returns its number once it is durable.

        Raises `AuditError` where it is not; then nothing of it is in the log.
        """
        return await asyncio.wrap_future(self._submit(entry))

    def rotate(self) -> Future[int]:
        """End this file and begin the next one; the future gives the new file's number."""
        return self._submit(None)

    def close(self) -> None:
        """Write what is waiting and a last, signed record; let go of the log."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()
        try:
            if not self._broken:
                self._end(Kind.CLOSED)
        except OSError as error:
            raise unwritable(error, self._folder) from error
        finally:
            os.close(self._descriptor)
            self._head.close()
            if self._mark is not None:
                self._mark.close()
            os.close(self._lock)

    def _submit(self, entry: Entry | None) -> Future[int]:
        wanted = _Wanted(entry, Future())
        wanted.done.set_running_or_notify_cancel()  # a caller who leaves must not cancel a record
        with self._condition:
            if self._closing:
                wanted.done.set_exception(closed(self._folder))
            else:
                self._queue.append(wanted)
                self._condition.notify()
        return wanted.done

    def _run(self) -> None:
        while True:
            with self._condition:
                woken = self._condition.wait_for(
                    lambda: self._queue or self._closing, timeout=_COUNTS_EVERY_S
                )
                batch, self._queue = self._queue, []
                if woken and not batch:
                    return
            if not woken:
                self._tell_counts()
            entries = [wanted for wanted in batch if wanted.entry is not None]
            if entries:
                self._settle(entries, partial(self._append, entries))
            for wanted in batch:
                if wanted.entry is None:
                    self._settle([wanted], self._rotate)

    def _tell_counts(self) -> None:
        """After a while without a record: requests turned away are not kept for the next one."""
        if self._broken or not self._counted():
            return
        try:
            self._end(Kind.CHECKPOINT)
        except Exception as error:  # noqa: BLE001 - they stay counted, and the thread lives on
            say(Event.AUDIT_FAILED, error=error)

    def _settle(self, batch: list[_Wanted], write: Callable[[], list[int]]) -> None:
        """Tell everybody in the batch what came of it: their numbers, or the same error."""
        try:
            if self._broken:
                raise closed(self._folder)
            numbers = write()
        except Exception as error:  # noqa: BLE001 - the thread lives on; every caller gets it
            failure = error if isinstance(error, AuditError) else unwritable(error, self._folder)
            for wanted in batch:
                wanted.done.set_exception(failure)
            return
        for wanted, number in zip(batch, numbers, strict=True):
            wanted.done.set_result(number)

    def _append(self, batch: list[_Wanted]) -> list[int]:
        turned_away = self._counted()
        records = self._beginning()
        link, counts = _link(records[-1]) if records else self._link, turned_away
        for wanted in batch:
            assert wanted.entry is not None
            records.append(self._writer.request(link, _now(), wanted.entry, counts))
            link, counts = _link(records[-1]), {}
        numbers = [record["seq"] for record in records[-len(batch) :]]
        self._since_checkpoint += len(records)
        if self._since_checkpoint >= self._settings.checkpoint_every:
            records.append(self._signed(Kind.CHECKPOINT, link))
        self._write(records)
        self._forget(turned_away)
        if self._size >= self._settings.rotate_bytes:
            self._rotate()
        return numbers

    def _beginning(self) -> list[Record]:
        """What a file begins with: a signed record, from which the file can be checked alone."""
        return [] if self._size else [self._signed(Kind.OPENED, self._link, cut_bytes=0)]

    def _end(self, kind: Kind) -> None:
        """Write a signed record, with the requests turned away since the last record."""
        turned_away = self._counted()
        records = self._beginning()
        link = _link(records[-1]) if records else self._link
        self._write([*records, self._signed(kind, link, turned_away=turned_away)])
        self._forget(turned_away)

    def _counted(self) -> dict[str, int]:
        with self._condition:
            return dict(self._turned_away)

    def _forget(self, told: dict[str, int]) -> None:
        """What a durable record tells need not be told again."""
        with self._condition:
            self._turned_away.subtract(told)
            self._turned_away = +self._turned_away

    def _rotate(self) -> list[int]:
        self._end(Kind.ROTATED)
        descriptor = self._open_file(self._number + 1)
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, 0
        self._number += 1
        return [self._number]

    def _signed(self, kind: Kind, link: Link, **body: Any) -> Record:
        self._since_checkpoint = 0
        return self._writer.signed(kind, link, _now(), **{"turned_away": {}, **body})

    def _open_file(self, number: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self._folder / file_name(number), flags, 0o600)
        os.fchmod(descriptor, 0o600)
        fsync_path(self._folder)
        return descriptor

    def _write(self, records: list[Record]) -> None:
        """Make the records durable, then the head; or leave the log as it was and raise."""
        data = b"".join(map(line_of, records))
        link = _link(records[-1])
        try:
            _write_all(self._descriptor, data)
            os.fdatasync(self._descriptor)
            self._head.write(link)
        except OSError as error:
            self._undo(error)
            raise
        self._size += len(data)
        self._link = link
        if any(record["kind"] in SIGNED for record in records):
            self._note(link)

    def _note(self, link: Link) -> None:
        """Note the newest record in the third place too; the log does not hang on that."""
        if self._mark is None:
            return
        try:
            self._mark.write(link)
        except OSError as error:
            say(Event.AUDIT_FAILED, error=error)

    def _undo(self, error: OSError) -> None:
        """Cut the file back. What the disk says after anything but being full is not trusted."""
        self._broken = error.errno not in _FULL
        try:
            os.ftruncate(self._descriptor, self._size)
            os.fdatasync(self._descriptor)
        except OSError:
            self._broken = True


def _opened_mark(settings: AuditSettings, keys: AuditKeys, log: str) -> HeadFile | None:
    """The third place; None, which is logged, where the keys' folder cannot be written."""
    try:
        return HeadFile(mark_path(settings), keys, log)
    except OSError as error:
        say(Event.NO_MARK, error=error)
        return None


def _now() -> str:
    return utc_now().isoformat(timespec="milliseconds")


def _link(record: Record) -> Link:
    return Link(record["seq"], record["hash"])


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

"""What a server does with the log that the last one left, before it writes to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from so8t_core.contract.errors import AuditError
from so8t_core.contract.settings.serve import AuditSettings
from so8t_core.serve.audit_head import mark_path, read_head
from so8t_core.serve.audit_keys import AuditKeys
from so8t_core.serve.audit_record import GENESIS, SIGNED, Link
from so8t_core.serve.audit_verify import (
    Fault,
    Verified,
    check_end,
    file_name,
    log_files,
    read_lines,
    verify_file,
)

_FIRST_LINE = 1 << 16


def recover(settings: AuditSettings, keys: AuditKeys) -> tuple[Verified, int]:
    """Check the newest file and its head; returns the end of the log and the bytes cut off there.

    Only an unfinished last record behind the head is cut off: a crash leaves it, and its answer was
    never sent. Anything else that is wrong raises `AuditError` and is left as it is. Older files
    are the business of `so8t audit verify`: the newest begins with a signed record.
    """
    folder = settings.folder.absolute()
    state = Verified(
        head=read_head(settings.head_file, keys.public),
        mark=read_head(mark_path(settings), keys.public),
    )
    files = log_files(folder)
    if not files:
        return _checked(check_end(state, file_name(1)), folder), 0
    cut_bytes = 0
    unfinished: Path | None = None
    if len(files) > 1 and b"\n" not in files[-1].read_bytes()[:_FIRST_LINE]:
        unfinished = files.pop()  # a rotation that was not finished
        cut_bytes = unfinished.stat().st_size
    newest = files[-1]
    state.link = _beginning(newest, first=len(files) == 1)
    verify_file(newest, state, keys.public, keys.secret)
    if state.fault is not None and _is_torn(newest, state):
        cut_bytes += _cut_last_line(newest)
        state.fault = None
    if state.fault is None:
        check_end(state, newest.name)
    _checked(state, folder)
    if unfinished is not None:
        unfinished.unlink()
    return state, cut_bytes


def _checked(state: Verified, folder: Path) -> Verified:
    if state.fault is not None:
        raise _damaged(state.fault, folder)
    return state


def _beginning(path: Path, *, first: bool) -> Link:
    """Where the file's signed first record says that it goes on from."""
    if first:
        return Link()
    line = next(read_lines(path), b"")
    try:
        record = json.loads(line)
        if record["kind"] in SIGNED:
            return Link(record["seq"] - 1, record["previous"])
    except (ValueError, TypeError, LookupError):
        pass  # nothing to begin from: checking the line then finds what is wrong with it
    return Link(0, GENESIS)


def _is_torn(path: Path, state: Verified) -> bool:
    """Whether the fault is a last line without its end, beyond what the head vouches for."""
    assert state.fault is not None
    lines = list(read_lines(path))
    behind_head = state.head is None or state.link.seq >= state.head.link.seq
    return behind_head and state.fault.line == len(lines) and not lines[-1].endswith(b"\n")


def _cut_last_line(path: Path) -> int:
    *whole, torn = read_lines(path)
    with path.open("r+b") as file:
        file.truncate(sum(map(len, whole)))
        file.flush()
        os.fsync(file.fileno())
    return len(torn)


def _damaged(fault: Fault, folder: Path) -> AuditError:
    return AuditError(
        f"The audit log is not as it was left: {fault}.",
        where=str(folder),
        hint="Keep it for whoever has to look into it, and begin a new log (serve.audit.folder and "
        "head_file); `so8t audit verify` checks the whole of it. The .mark file beside the keys "
        "notes how far this one had come.",
    )

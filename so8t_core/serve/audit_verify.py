"""Reads a whole audit log and names the first record that is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from so8t_core.contract.errors import AuditError
from so8t_core.serve.audit_head import Head, read_head
from so8t_core.serve.audit_keys import PublicKey
from so8t_core.serve.audit_record import Kind, Link, Record, check_line

FILE_PATTERN = "audit-*.jsonl"
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong, and where."""

    seq: int
    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"record {self.seq} ({self.file}, line {self.line}): {self.problem}"


@dataclass
class Verified:
    """What was read, `line` lines of the newest file among it.

    `vouched` is the newest record that a signature stands for.
    """

    link: Link = field(default_factory=Link)
    log: str | None = None
    vouched: int = 0
    records: int = 0
    signatures: int = 0
    fault: Fault | None = None
    head: Head | None = None
    line: int = 0

    @property
    def unvouched(self) -> int:
        """Records behind the newest signature: of answers that a crash kept from being sent."""
        return self.link.seq - self.vouched


def file_name(number: int) -> str:
    """Name of the log's file of that number, from 1 on."""
    return f"audit-{number:06d}.jsonl"


def log_files(folder: Path) -> list[Path]:
    """The log's files, oldest first."""
    return sorted(folder.glob(FILE_PATTERN))


def read_lines(path: Path) -> Iterator[bytes]:
    """Lines with their line breaks; one that is far too long comes in pieces, which are wrong."""
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            yield line


def verify_log(
    folder: Path, head_file: Path, public: PublicKey, *, secret: bytes | None = None
) -> Verified:
    """Check every record, the chain through all files, the signatures and the head.

    With `secret` the seals too. The first fault is in the result; nothing is raised for it.
    """
    state = Verified()
    try:
        state.head = read_head(head_file, public)
    except AuditError as error:
        state.fault = Fault(0, str(error.where), 1, error.what)
        return state
    files = log_files(folder)
    for number, path in enumerate(files, start=1):
        if path.name != file_name(number):
            return _with(state, file_name(number), 1, "this file of the log is missing")
        verify_file(path, state, public, secret)
        if state.fault is not None:
            return state
    return check_end(state, files[-1].name if files else file_name(1))


def verify_file(path: Path, state: Verified, public: PublicKey, secret: bytes | None) -> None:
    """Go on with the check through one file; the fault, if any, is left in `state`."""
    state.line = 0
    for line in read_lines(path):
        state.line += 1
        record, problem = check_line(line, state.link, public, state.log, secret)
        if record is None:
            _with(state, path.name, state.line, problem)
            return
        _take(state, record, path.name)


def check_end(state: Verified, last: str) -> Verified:
    """Compare the end of the log with its head."""
    head = state.head
    if head is None:
        if state.records:
            return _with(state, last, state.line, "the head file is missing")
        return state
    if head.link.seq > state.link.seq:
        found = f"the log ends here, but record {head.link.seq} was written: it was shortened"
        return _with(state, last, state.line + 1, found)
    state.vouched = max(state.vouched, head.link.seq)
    return state


def _take(state: Verified, record: Record, file: str) -> None:
    state.link = Link(record["seq"], record["hash"])
    state.log = record["log"]
    state.records += 1
    if record["kind"] != Kind.REQUEST:
        state.signatures += 1
        state.vouched = record["seq"]
    head = state.head
    if head is not None and head.link.seq == state.link.seq and head != Head(state.log, state.link):
        state.fault = Fault(state.link.seq, file, state.line, "the head has another hash for it")


def _with(state: Verified, file: str, line: int, problem: str) -> Verified:
    state.fault = Fault(state.link.seq + 1, file, line, problem)
    return state

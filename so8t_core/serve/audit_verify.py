"""Reads a whole audit log and names the first record that is not as it was written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from so8t_core.contract.errors import AuditError
from so8t_core.serve.audit_head import Head, read_head
from so8t_core.serve.audit_keys import PublicKey
from so8t_core.serve.audit_lock import holder
from so8t_core.serve.audit_record import Kind, Link, Record, check_line

FILE_PATTERN = "audit-*.jsonl"
_LONGEST_LINE = 1 << 16
_ATTEMPTS, _SETTLE_S = 3, 0.2


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong, and where."""

    seq: int
    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"record {self.seq} ({self.file}, line {self.line}): {self.problem}"


class Verdict(StrEnum):
    """What checking came to. UNSURE: nothing is wrong, but not everything can be known."""

    INTACT = "intact"
    UNSURE = "unsure"
    DAMAGED = "damaged"


@dataclass
class Verified:
    """What was read, `line` lines of the newest file among it.

    `vouched` is the newest record that a signature stands for. `mark` is the newest one that was
    noted beside the keys, `expected` one that a person noted. `sealed`: the seals were checked.
    """

    link: Link = field(default_factory=Link)
    log: str | None = None
    vouched: int = 0
    records: int = 0
    signatures: int = 0
    fault: Fault | None = None
    head: Head | None = None
    mark: Head | None = None
    expected: Link | None = None
    sealed: bool = False
    line: int = 0

    @property
    def unvouched(self) -> int:
        """Records behind the newest signature: of answers that a crash kept from being sent."""
        return self.link.seq - self.vouched

    @property
    def doubts(self) -> list[str]:
        """What cannot be known from what is there."""
        found = []
        if not self.records:
            found.append("there is no record, and whether there ever was one cannot be known")
        if self.unvouched and not self.sealed:
            found.append(
                f"records from {self.vouched + 1} on have no signature behind them: only the "
                "secret keys tell whether the server wrote them"
            )
        return found

    @property
    def verdict(self) -> Verdict:
        """All in one word."""
        if self.fault is not None:
            return Verdict.DAMAGED
        return Verdict.UNSURE if self.doubts else Verdict.INTACT


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
    folder: Path,
    head_file: Path,
    public: PublicKey,
    *,
    secret: bytes | None = None,
    mark_file: Path | None = None,
    expected: Link | None = None,
) -> Verified:
    """Check every record, the chain through all files, the signatures, the head and the mark.

    With `secret` the seals too. `expected` is a record that must be there; its hash may be empty.
    The first fault is in the result; nothing is raised for it. A server may go on writing
    meanwhile: what it has just written and not yet signed is read again.
    """
    wait_s = _SETTLE_S
    for _ in range(_ATTEMPTS):
        written_to = _is_written_to(folder)
        state = Verified(expected=expected, sealed=secret is not None)
        _verify(state, folder, head_file, mark_file, public, secret, wait_s if written_to else 0)
        if state.verdict is Verdict.INTACT or not written_to:
            break
        wait_s *= 3
    return state


def _is_written_to(folder: Path) -> bool:
    try:
        return holder(folder) is not None
    except OSError:
        return False  # nobody else's lock can be looked at; then there is one attempt


def _verify(
    state: Verified,
    folder: Path,
    head_file: Path,
    mark_file: Path | None,
    public: PublicKey,
    secret: bytes | None,
    wait_s: float,
) -> None:
    sizes = {path: path.stat().st_size for path in log_files(folder)}
    time.sleep(wait_s)  # what is being written at this moment gets its head meanwhile
    try:
        # in this order: each is at least as new as the one before it
        state.mark = None if mark_file is None else read_head(mark_file, public)
        state.head = read_head(head_file, public)
    except AuditError as error:
        state.fault = Fault(0, str(error.where), 1, error.what)
        return
    files = log_files(folder)
    for number, path in enumerate(files, start=1):
        if path.name != file_name(number):
            _with(state, file_name(number), 1, "this file of the log is missing")
            return
        try:
            verify_file(path, state, public, secret, until=sizes.get(path, 0))
        except OSError as error:
            _with(state, path.name, 1, f"this file cannot be read ({error.strerror})")
        if state.fault is not None:
            return
    check_end(state, files[-1].name if files else file_name(1))


def verify_file(
    path: Path,
    state: Verified,
    public: PublicKey,
    secret: bytes | None,
    *,
    until: int | None = None,
) -> None:
    """Go on with the check through one file; the fault, if any, is left in `state`.

    Lines that begin at byte `until` or behind it are read as far as the head goes.
    """
    state.line = at = 0
    for line in read_lines(path):
        if until is not None and at >= until and _reaches_head(state):
            return
        at += len(line)
        state.line += 1
        record, problem = check_line(line, state.link, public, state.log, secret)
        if record is None:
            _with(state, path.name, state.line, problem)
            return
        _take(state, record, path.name)


def _reaches_head(state: Verified) -> bool:
    return state.head is None or state.link.seq >= state.head.link.seq


def check_end(state: Verified, last: str) -> Verified:
    """Compare the end of the log with its head, and with what was noted elsewhere."""
    head = state.head
    newest = {
        "was written": 0 if head is None else head.link.seq,
        "was noted beside the keys": 0 if state.mark is None else state.mark.link.seq,
        "was noted": 0 if state.expected is None else state.expected.seq,
    }
    for told, seq in newest.items():
        if seq > state.link.seq:
            found = f"the log ends here, but record {seq} {told}: it was shortened"
            return _with(state, last, state.line + 1, found)
    if head is None:
        return (
            _with(state, last, state.line, "the head file is missing") if state.records else state
        )
    state.vouched = max(state.vouched, head.link.seq)
    return state


def _take(state: Verified, record: Record, file: str) -> None:
    state.link = Link(record["seq"], record["hash"])
    state.log = record["log"]
    state.records += 1
    if record["kind"] != Kind.REQUEST:
        state.signatures += 1
        state.vouched = record["seq"]
    problem = _against_notes(state, Head(state.log, state.link))
    if problem:
        state.fault = Fault(state.link.seq, file, state.line, problem)


def _against_notes(state: Verified, own: Head) -> str:
    """What is wrong with a record of which the head, the mark or a person has noted the hash."""
    for told, other in (("head", state.head), ("mark beside the keys", state.mark)):
        if other is not None and other.link.seq == own.link.seq and other != own:
            return f"the {told} has another hash for it"
    expected = state.expected
    if expected is not None and expected.seq == own.link.seq:
        return "" if expected.hash in ("", own.link.hash) else "it is not the one that was noted"
    return ""


def _with(state: Verified, file: str, line: int, problem: str) -> Verified:
    state.fault = Fault(state.link.seq + 1, file, line, problem)
    return state

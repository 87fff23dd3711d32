"""One record of the audit log: what it holds, how it is sealed, chained and checked.

    line   = canonical JSON of the record, `hash` included
    hash   = SHA-256(domain, canonical JSON of the record without `hash`); `previous` is inside
    seal   = HMAC-SHA256(secret, domain, the record without `hash` and `seal`)
    macs   = HMAC-SHA256(secret, domain, nonce, part, length, bytes), one for each part

A plain hash of a short private text can be guessed; the HMACs can not without the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from so8t_core.contract.files import canonical_json
from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.audit_keys import AuditKeys, PublicKey
from so8t_core.serve.think import PARSER_VERSION, ParseStatus

FORMAT = 1
GENESIS = "0" * 64
"""`previous` of the very first record."""
_CHAIN = b"so8t-audit-record-1\n"
_SEAL = b"so8t-audit-seal-1\n"
_PART = b"so8t-audit-part-1\n"
_SIGNATURE = b"so8t-audit-checkpoint-1\n"
_NONCE_BYTES = 16

Record = dict[str, Any]


class Kind(StrEnum):
    """What a record tells."""

    OPENED = "opened"
    REQUEST = "request"
    CHECKPOINT = "checkpoint"
    ROTATED = "rotated"
    CLOSED = "closed"


SIGNED = frozenset({Kind.OPENED, Kind.CHECKPOINT, Kind.ROTATED, Kind.CLOSED})
"""Kinds that carry a signature."""


class Outcome(StrEnum):
    """What a caller got."""

    ANSWERED = "answered"
    REFUSED = "refused"
    WITHHELD = "withheld"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ABORTED = "aborted"


@dataclass(frozen=True, repr=False)
class Entry:
    """One request as the service knows it. `texts` (task, ..., final, output) are never stored."""

    request_id: str
    key_id: str
    route: str
    outcome: Outcome
    label: SafetyLabel
    parsed: ParseStatus | None
    finish: str | None
    asked_bytes: int
    texts: Mapping[str, bytes]


@dataclass(frozen=True)
class Link:
    """The end of a chain: the newest record's number and hash."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True)
class Served:
    """What is served, by digest: stands in every record."""

    model: str
    tokenizer: str
    template: str


NOTHING_SERVED = Served(model="", tokenizer="", template="")
"""For records that no server writes."""


@dataclass(frozen=True)
class Writer:
    """Makes records; pure but for the nonces."""

    keys: AuditKeys
    log: str
    served: Served

    def request(self, link: Link, at: str, entry: Entry, turned_away: Mapping[str, int]) -> Record:
        """The record of one request; `turned_away` counts, by reason, who got none since."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sizes = {name: _bucket(len(text)) for name, text in entry.texts.items()}
        body = {
            "id": entry.request_id,
            "key": entry.key_id,
            "route": entry.route,
            "outcome": entry.outcome.value,
            "label": entry.label.value,
            "parsed": None if entry.parsed is None else entry.parsed.value,
            "parser": PARSER_VERSION,
            "finish": entry.finish,
            "model": self.served.model,
            "tokenizer": self.served.tokenizer,
            "template": self.served.template,
            "sizes": {"asked": _bucket(entry.asked_bytes), **sizes},
            "nonce": nonce.hex(),
            "macs": {
                name: part_mac(self.keys.secret, nonce, name, text)
                for name, text in entry.texts.items()
            },
            "turned_away": dict(turned_away),
        }
        return self._sealed(Kind.REQUEST, link, at, body)

    def signed(self, kind: Kind, link: Link, at: str, **body: Any) -> Record:
        """A record that vouches for everything before it."""
        return self._sealed(kind, link, at, {"public_key": self.keys.public.text, **body})

    def _sealed(self, kind: Kind, link: Link, at: str, body: Mapping[str, Any]) -> Record:
        record: Record = {
            "format": FORMAT,
            "log": self.log,
            "seq": link.seq + 1,
            "kind": kind.value,
            "at": at,
            "previous": link.hash,
            **body,
        }
        if kind in SIGNED:
            record["signature"] = self.keys.sign(_SIGNATURE + canonical_json(record).encode())
        record["seal"] = seal_of(self.keys.secret, record)
        record["hash"] = hash_of(record)
        return record


def part_mac(secret: bytes, nonce: bytes, name: str, text: bytes) -> str:
    """HMAC of one part, bound to its record by the nonce and to its place by name and length."""
    head = _PART + nonce + name.encode() + b"\0" + len(text).to_bytes(8, "big")
    return hmac.new(secret, head + text, hashlib.sha256).hexdigest()


def seal_of(secret: bytes, record: Mapping[str, Any]) -> str:
    """HMAC of a record without its seal and hash."""
    inner = {name: value for name, value in record.items() if name not in ("seal", "hash")}
    return hmac.new(secret, _SEAL + canonical_json(inner).encode(), hashlib.sha256).hexdigest()


def hash_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its hash."""
    inner = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(_CHAIN + canonical_json(inner).encode()).hexdigest()


def line_of(record: Record) -> bytes:
    """The record's line in the log."""
    return canonical_json(record).encode("ascii") + b"\n"


def _bucket(size: int) -> int:
    """The next power of two, so that the length itself is not kept; 0 for nothing."""
    return 1 << (size - 1).bit_length() if size else 0


def check_line(
    line: bytes, link: Link, public: PublicKey, log: str | None, secret: bytes | None
) -> tuple[Record | None, str]:
    """The record in a line behind `link`, or None and what is wrong with it.

    `line` includes its line break. `log` is the name of the log, None for the first record;
    `secret` checks the seal too.
    """
    if not line.endswith(b"\n"):
        return None, "it is cut off"
    try:
        record = json.loads(line)
        same = isinstance(record, dict) and line_of(record) == line
    except (ValueError, RecursionError):
        return None, "it is not JSON in canonical form"
    if not same:
        return None, "it is not JSON in canonical form"
    try:
        problem = _problem(record, link, public, log, secret)
    except (KeyError, ValueError, TypeError):
        return None, "a field is missing or unknown"
    return (None, problem) if problem else (record, "")


def _problem(
    record: Record, link: Link, public: PublicKey, log: str | None, secret: bytes | None
) -> str:
    if not hmac.compare_digest(str(record["hash"]), hash_of(record)):
        return "its content does not match its hash"
    if record["seq"] != link.seq + 1:
        return f"record {link.seq + 1} is missing here, or the order was changed"
    if record["previous"] != link.hash:
        return "it does not continue the record before it"
    if log is not None and record["log"] != log:
        return "it belongs to another log"
    if Kind(record["kind"]) in SIGNED:
        inner = {k: v for k, v in record.items() if k not in ("signature", "seal", "hash")}
        if not public.accepts(record["signature"], _SIGNATURE + canonical_json(inner).encode()):
            return "its signature is not one of the log's key"
    if secret is not None and not hmac.compare_digest(str(record["seal"]), seal_of(secret, record)):
        return "its seal is not one of the log's key"
    return ""

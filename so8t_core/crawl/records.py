"""WARC 1.1 records as bytes, each a gzip member of its own. Source: ISO 28500:2017."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from so8t_core.crawl.fetcher import Response

_TRANSPORT_HEADERS = frozenset({"content-encoding", "transfer-encoding", "content-length"})
_GZIP = 16
_LEVEL = 4
_SMALL_BYTES = 8192
_SMALL_WINDOW = (13, 6)
_LARGE_WINDOW = (zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
IDENTICAL = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"

Headers = Iterable[tuple[str, str]]


def digest(payload: bytes) -> str:
    """A digest as WARC and CDXJ write it: SHA-1 in base 32."""
    return "sha1:" + base64.b32encode(hashlib.sha1(payload).digest()).decode()  # noqa: S324


@lru_cache(maxsize=64)
def warc_date(moment_s: float) -> str:
    """A moment since the epoch as WARC writes it, with microseconds."""
    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z")


def new_id() -> str:
    """A record id: a random UUID of version 4 (RFC 9562, section 5.4)."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return (
        f"<urn:uuid:{digits[:8]}-{digits[8:12]}-4{digits[13:16]}"
        f"-{variant}{digits[17:20]}-{digits[20:]}>"
    )


def record(kind: str, headers: Headers, block: bytes, content_type: str = "") -> bytes:
    """One record, compressed. `headers` are its named fields but type, length and content type."""
    named = [f"WARC/1.1\r\nWARC-Type: {kind}\r\n"]
    named += [f"{name}: {value}\r\n" for name, value in headers]
    if content_type:
        named.append(f"Content-Type: {content_type}\r\n")
    named.append(f"Content-Length: {len(block)}\r\n\r\n")
    return _packed(b"".join(("".join(named).encode(), block, b"\r\n\r\n")))


def _packed(data: bytes) -> bytes:
    """One gzip member. To set up the largest window costs more than to pack a small record."""
    bits, memory = _SMALL_WINDOW if len(data) <= _SMALL_BYTES else _LARGE_WINDOW
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP | bits, memory)
    return packer.compress(data) + packer.flush()


def warcinfo(name: str, fields: Mapping[str, str]) -> bytes:
    """The record at the head of a file."""
    headers = (
        ("WARC-Record-ID", new_id()),
        ("WARC-Date", warc_date(datetime.now(UTC).timestamp())),
        ("WARC-Filename", name),
    )
    return record("warcinfo", headers, _fields(fields), "application/warc-fields")


def response_record(answer: Response, record_id: str, payload_digest: str) -> bytes:
    """An answer. A body is stored as it was decoded; what described its transport is renamed."""
    status = f"{answer.version} {answer.status} {answer.reason}".strip()
    lines = [status]
    for name, value in answer.headers:
        prefix = "X-Archive-Orig-" if name.lower() in _TRANSPORT_HEADERS else ""
        lines.append(f"{prefix}{name}: {_one_line(value)}")
    lines.append(f"Content-Length: {len(answer.body)}\r\n\r\n")
    block = "\r\n".join(lines).encode() + answer.body
    headers = [
        ("WARC-Record-ID", record_id),
        ("WARC-Date", warc_date(answer.sent_at)),
        ("WARC-Target-URI", answer.url),
        ("WARC-Payload-Digest", payload_digest),
    ]
    if answer.address:
        headers.append(("WARC-IP-Address", answer.address))
    return record("response", headers, block, "application/http; msgtype=response")


def page_records(
    answer: Response, payload_digest: str, info: Mapping[str, str]
) -> tuple[bytes, bytes, bytes]:
    """Response, request and metadata (`info`) records of one page."""
    record_id = new_id()
    return (
        response_record(answer, record_id, payload_digest),
        request_record(answer, record_id),
        metadata_record(answer, record_id, info),
    )


def request_record(answer: Response, concurrent_to: str) -> bytes:
    """What was asked."""
    _, _, _, target = answer.url.split("/", 3)
    headers = _beside(answer, concurrent_to)
    block = f"GET /{target} HTTP/1.1\r\n{_head(answer.request_headers)}\r\n".encode()
    return record("request", headers, block, "application/http; msgtype=request")


def metadata_record(answer: Response, concurrent_to: str, fields: Mapping[str, str]) -> bytes:
    """Our decision on a page and what it rests on."""
    headers = _beside(answer, concurrent_to)
    return record("metadata", headers, _fields(fields), "application/warc-fields")


def revisit_record(
    answer: Response, record_id: str, profile: str, payload_digest: str, refers_to_date: str
) -> bytes:
    """A page that is as it was: the answer's head without a body, and the date of the earlier.

    `profile`: the server said that it had not changed, or sent the same body again. Source: WARC
    1.1, section 6.7.
    """
    status = f"{answer.version} {answer.status} {answer.reason}".strip()
    lines = [status, *(f"{name}: {_one_line(value)}" for name, value in answer.headers)]
    headers = [
        ("WARC-Record-ID", record_id),
        ("WARC-Date", warc_date(answer.sent_at)),
        ("WARC-Target-URI", answer.url),
        ("WARC-Profile", profile),
        ("WARC-Refers-To-Target-URI", answer.url),
        ("WARC-Refers-To-Date", refers_to_date),
        ("WARC-Payload-Digest", payload_digest),
    ]
    if profile == IDENTICAL:
        headers.append(("WARC-Truncated", "length"))
    block = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return record("revisit", headers, block, "application/http; msgtype=response")


@lru_cache(maxsize=4096)
def _head(headers: tuple[tuple[str, str], ...]) -> str:
    """Header lines; those of our requests are the same for each page of a host."""
    return "".join(f"{name}: {_one_line(value)}\r\n" for name, value in headers)


def _beside(answer: Response, concurrent_to: str) -> list[tuple[str, str]]:
    return [
        ("WARC-Record-ID", new_id()),
        ("WARC-Date", warc_date(answer.sent_at)),
        ("WARC-Target-URI", answer.url),
        ("WARC-Concurrent-To", concurrent_to),
    ]


def _fields(fields: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {_one_line(value)}\r\n" for name, value in fields.items()).encode()


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")

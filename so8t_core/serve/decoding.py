"""What an answer holds in an encoding: escapes, markup, numbers of bases 2 to 64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from so8t_core.serve.disguise import resolve

_DEPTH = 2
_LEAST_DECODED = 8
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/]+")
_BASE32_RUN = re.compile("[A-Za-z2-7]{24,}")
# digits of bytes, with little between the bytes: %e3, =E3, \xe3, 0xe3, e3:81, e381
_HEX_RUN = re.compile(r"(?:[^0-9A-Za-z]{0,3}(?:0?x)?[0-9A-Fa-f]{2}){12,}", re.IGNORECASE)
_HEX_MARKS = re.compile("0?x|[^0-9A-Fa-f]", re.IGNORECASE)
_HEX_DIGITS = re.compile(r"(?:[0-9A-Fa-f][\s:;,.|/\\-]{0,3}){24,}")
_POINTS_RUN = re.compile(
    r"(?:(?:U\+|\\?u|0x|x)?[0-9A-Fa-f]{4,5}[^0-9A-Za-z]{1,3}){8,}", re.IGNORECASE
)
_POINT = re.compile("[0-9A-Fa-f]{4,5}")
_BINARY_RUN = re.compile(r"(?:[01][\s,;|]{0,2}){64,}")
_NOT_BINARY = re.compile("[^01]")
_NUMBERS_RUN = re.compile(r"(?:\d{2,6}[\s,;|/-]{1,3}){8,}\d{2,6}")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\N{REPLACEMENT CHARACTER}]+")
_MARKUP = re.compile(
    r"<!--.*?-->|</?[A-Za-z][^<>]{0,200}>"  # HTML
    r"|\]\([^()\s]{0,300}\)"  # where a link of Markdown goes
    r"|\\[A-Za-z]+(?=[{\s])|[{}]",  # commands of TeX
    re.DOTALL,
)


def decoded(answer: str) -> list[str]:
    """The answer, and all that it holds in one of the encodings; what was decoded once more."""
    found = [answer]
    newest = [answer]
    for _ in range(_DEPTH):
        newest = [text for one in newest for text in _decoded(one) if len(text) >= _LEAST_DECODED]
        found += newest
    return list(dict.fromkeys(found))


def _decoded(answer: str) -> Iterator[str]:
    """One layer of each; what has several alignments, at each of them."""
    resolved = resolve(answer)
    if resolved is not None and resolved != answer:
        yield resolved
    shown = _MARKUP.sub("", answer)
    if shown != answer:
        yield shown
    yield from _from_digits(answer)
    yield from _from_base64(answer)
    for found in _BASE32_RUN.finditer("".join(answer.split())):
        for begin in range(8):
            try:
                yield _text(base64.b32decode(_whole(found.group()[begin:], 8), casefold=True))
            except binascii.Error:  # pragma: no cover - every letter of the run is one of base32
                continue


def _from_digits(answer: str) -> Iterator[str]:
    for pattern, marks in ((_HEX_DIGITS, _HEX_MARKS), (_HEX_RUN, _HEX_MARKS)):
        for found in pattern.finditer(answer):
            digits = marks.sub("", found.group())
            for begin in range(2):
                yield _text(bytes.fromhex(_whole(digits[begin:], 2)))
    for found in _POINTS_RUN.finditer(answer):
        yield _characters(int(point, 16) for point in _POINT.findall(found.group()))
    for found in _BINARY_RUN.finditer(answer):
        bits = _NOT_BINARY.sub("", found.group())
        for begin in range(8):
            whole = _whole(bits[begin:], 8)
            yield _text(int(whole or "0", 2).to_bytes(len(whole) // 8, "big"))
    for found in _NUMBERS_RUN.finditer(answer):
        numbers = re.findall(r"\d+", found.group())
        for base in (10, 8) if all(set(number) <= set("01234567") for number in numbers) else (10,):
            codes = [int(number, base) for number in numbers]
            yield _characters(codes)
            if max(codes) < 256:
                yield _text(bytes(codes))


def _from_base64(answer: str) -> Iterator[str]:
    """All its letters of base64 as one run: what begins anywhere is in step with one of four."""
    runs = (answer, answer.replace("-", "+").replace("_", "/"))
    for run in dict.fromkeys(_NOT_BASE64.sub("", one) for one in runs):
        for begin in range(4):
            yield _text(base64.b64decode(_whole(run[begin:], 4)))


def _characters(codes: Iterator[int] | list[int]) -> str:
    return "".join(chr(code) for code in codes if code <= 0x10FFFF)


def _whole(run: str, group: int) -> str:
    return run[: len(run) // group * group]


def _text(data: bytes) -> str:
    """The stretches of the bytes that are text; what was no such encoding has hardly any.

    Without the zeros of UTF-16.
    """
    text = data.replace(b"\0", b"").decode("utf-8", errors="replace")
    return " ".join(one for one in _NO_TEXT.split(text) if len(one) >= _LEAST_DECODED)

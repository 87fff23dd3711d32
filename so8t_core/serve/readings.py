"""What an answer may stand for: decoded, turned round, spread out over other letters."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator
from itertools import pairwise

from so8t_core.serve.disguise import letters, resolve, visible

_DEPTH = 2
_LEAST_DECODED = 8
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_BASE32_RUN = re.compile(r"[A-Za-z2-7]{24,}")
_HEX_RUN = re.compile(r"(?:[0-9A-Fa-f][\s:;,.|/\\-]{0,3}){24,}")
_BINARY_RUN = re.compile(r"(?:[01][\s,;|]{0,2}){64,}")
_CODES_RUN = re.compile(r"(?:\d{2,6}[\s,;|/-]{1,3}){8,}\d{2,6}")
_NOT_HEX = re.compile(r"[^0-9A-Fa-f]")
_NOT_BINARY = re.compile("[^01]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\N{REPLACEMENT CHARACTER}]+")
_SENTENCE_END = re.compile(r"[。．.!?！？\n]+")
_FLIPPED = str.maketrans("ɐqɔpǝɟƃɥᴉɾʞןɯuodbɹsʇnʌʍʎz", "abcdefghijklmnopqrstuvwyz")


def decoded(answer: str) -> list[str]:
    """The answer, and all that it holds in escapes, base64, base32, hexadecimal, bits or codes.

    What was decoded is decoded once more.
    """
    found = [answer]
    newest = [answer]
    for _ in range(_DEPTH):
        newest = [text for one in newest for text in _decoded(one) if len(text) >= _LEAST_DECODED]
        found += newest
    return list(dict.fromkeys(found))


def spoken(text: str) -> Iterator[str]:
    """The letters of a text in the orders and selections in which they can be read."""
    plain = letters(text)
    words = text.split()
    yield plain
    yield plain[::-1]
    yield letters(codecs.encode(text, "rot13"))
    yield letters(text.translate(_FLIPPED)[::-1])
    yield letters(" ".join(word[::-1] for word in words))
    yield letters(" ".join(reversed(words)))
    for spread in dict.fromkeys((text, "".join(words), plain)):
        for selected in _selections(spread):
            yield letters(selected)


def _selections(text: str) -> Iterator[str]:
    """Every second character, every third, and two of three."""
    for step in (2, 3):
        for begin in range(step):
            yield text[begin::step]
    for begin in range(3):
        yield "".join(one for at, one in enumerate(text) if at % 3 != begin)


def initials(text: str) -> Iterator[str]:
    """First and last letters of lines, sentences and words: acrostics."""
    for pieces in (text.split("\n"), _SENTENCE_END.split(text), text.split()):
        told = list(filter(None, map(letters, pieces)))
        yield "".join(piece[0] for piece in told)
        yield "".join(piece[-1] for piece in told)


def shifts(text: str) -> str:
    """How far each of the letters a to z is from the one before, as a letter.

    The same for all of Caesar's ciphers.
    """
    codes = [ord(one) - ord("a") for one in visible(text) if "a" <= one <= "z"]
    steps = pairwise(codes)
    return "".join(chr(ord("a") + (after - before) % 26) for before, after in steps)


def _decoded(answer: str) -> Iterator[str]:
    """One layer of each; what has several alignments, at each of them."""
    resolved = resolve(answer)
    if resolved is not None and resolved != answer:
        yield resolved
    for found in _HEX_RUN.finditer(answer.replace("0x", "")):
        digits = _NOT_HEX.sub("", found.group())
        for begin in range(2):
            yield _text(bytes.fromhex(_whole(digits[begin:], 2)))
    for found in _BINARY_RUN.finditer(answer):
        bits = _NOT_BINARY.sub("", found.group())
        for begin in range(8):
            whole = _whole(bits[begin:], 8)
            yield _text(int(whole or "0", 2).to_bytes(len(whole) // 8, "big"))
    for found in _CODES_RUN.finditer(answer):
        codes = map(int, re.findall(r"\d+", found.group()))
        yield "".join(chr(code) for code in codes if code <= 0x10FFFF)
    joined = "".join(answer.split())
    for found in _BASE64_RUN.finditer(joined):
        run = found.group().replace("-", "+").replace("_", "/")
        for begin in range(4):
            yield _text(base64.b64decode(_whole(run[begin:], 4)))
    for found in _BASE32_RUN.finditer(joined):
        for begin in range(8):
            try:
                yield _text(base64.b32decode(_whole(found.group()[begin:], 8), casefold=True))
            except binascii.Error:  # pragma: no cover - every letter of the run is one of base32
                continue


def _whole(run: str, group: int) -> str:
    return run[: len(run) // group * group]


def _text(data: bytes) -> str:
    """The stretches of the bytes that are text; what was no such encoding has hardly any."""
    stretches = _NO_TEXT.split(data.decode("utf-8", errors="replace"))
    return " ".join(stretch for stretch in stretches if len(stretch) >= _LEAST_DECODED)

"""The last look at an answer: nothing invisible in it, and nothing of the thinking."""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator

from so8t_core.serve.disguise import letters, resolve

_JOINER = "\N{ZERO WIDTH JOINER}"
_REMOVED = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_HEX_RUN = re.compile(r"(?:[0-9A-Fa-f][\s:;,.|/\\-]{0,3}){24,}")
_SEPARATORS = re.compile(r"[^0-9A-Fa-f]")
_LEAST_DECODED = 8


def clean(answer: str) -> str:
    """The answer without characters that nobody sees: they could carry text of their own.

    Line breaks and tabs stay, a joiner only between symbols (emoji), of variation selectors at
    most one behind a character.
    """
    kept: list[str] = []
    text = answer.replace("\r\n", "\n")
    for index, character in enumerate(text):
        before = kept[-1] if kept else ""
        if character == _JOINER:
            after = text[index + 1 : index + 2]
            if _joins(before) and _joins(after):
                kept.append(character)
        elif _is_selector(character):
            if before and not _is_selector(before):
                kept.append(character)
        elif character in "\n\t" or unicodedata.category(character) not in _REMOVED:
            kept.append(character)
    return "".join(kept).strip()


def _joins(character: str) -> bool:
    return bool(character) and (
        unicodedata.category(character) in {"So", "Sk"} or _is_selector(character)
    )


def _is_selector(character: str) -> bool:
    return 0xFE00 <= ord(character) <= 0xFE0F or 0xE0100 <= ord(character) <= 0xE01EF


_LEAST_WHOLE = 12


def quotes(answer: str, thinking: Iterable[str], asked: Iterable[str], *, run: int) -> bool:
    """Whether `run` letters in a row of the answer stand in the thinking and not in the question.

    Case, width, look-alikes, spaces and punctuation make no difference; the answer is also read
    backwards, in ROT13, and with escapes, base64 and hexadecimal decoded, up to twice. A part of
    the thinking that is shorter than `run` counts as a whole, from twelve letters on.
    """
    told = [letters(text) for text in thinking]
    known = [letters(text) for text in asked]
    secret = _runs(told, run) - _runs(known, run)
    short = [
        text
        for text in told
        if _LEAST_WHOLE <= len(text) < run and not any(text in one for one in known)
    ]
    if not secret and not short:
        return False
    readings = [letters(reading) for reading in _readings(answer)]
    if any(text in reading for text in short for reading in readings):
        return True
    return not secret.isdisjoint(_runs(readings, run))


def _runs(texts: Iterable[str], length: int) -> set[str]:
    return {text[at : at + length] for text in texts for at in range(len(text) - length + 1)}


def _readings(answer: str, *, depth: int = 2) -> Iterator[str]:
    """The answer and what it may stand for; what was decoded is decoded once more."""
    yield answer
    yield answer[::-1]
    yield codecs.encode(answer, "rot13")
    if depth:
        for decoded in _decoded(answer):
            if len(decoded) >= _LEAST_DECODED:
                yield from _readings(decoded, depth=depth - 1)


def _decoded(answer: str) -> Iterator[str]:
    """Escapes, hexadecimal and base64 resolved; the latter two wherever they may begin."""
    resolved = resolve(answer)
    if resolved is not None and resolved != answer:
        yield resolved
    for found in _HEX_RUN.finditer(answer.replace("0x", "")):
        digits = _SEPARATORS.sub("", found.group())
        for begin in range(2):
            pairs = digits[begin : begin + (len(digits) - begin) // 2 * 2]
            yield bytes.fromhex(pairs).decode("utf-8", errors="ignore")
    for found in _BASE64_RUN.finditer("".join(answer.split())):
        run = found.group().replace("-", "+").replace("_", "/")
        for begin in range(4):
            groups = run[begin : begin + (len(run) - begin) // 4 * 4]
            yield base64.b64decode(groups).decode("utf-8", errors="ignore")

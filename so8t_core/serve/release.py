"""The last look at an answer: nothing invisible in it, and nothing of the thinking."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator

from so8t_core.serve.disguise import letters, resolve

_JOINER = "\N{ZERO WIDTH JOINER}"
_REMOVED = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_HEX_RUN = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:,-]?){12,}")
_SEPARATORS = re.compile(r"[\s:,-]")


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


def quotes(answer: str, thinking: Iterable[str], asked: Iterable[str], *, run: int) -> bool:
    """Whether `run` letters in a row of the answer stand in the thinking and not in the question.

    Case, width, spaces and punctuation make no difference; the answer is also read backwards, in
    ROT13, and with escapes, base64 and hexadecimal decoded.
    """
    secret = _runs((letters(text) for text in thinking), run)
    secret -= _runs((letters(text) for text in asked), run)
    if not secret:
        return False
    return not secret.isdisjoint(_runs(map(letters, _readings(answer)), run))


def _runs(texts: Iterable[str], length: int) -> set[str]:
    return {text[at : at + length] for text in texts for at in range(len(text) - length + 1)}


def _readings(answer: str) -> Iterator[str]:
    yield answer
    yield answer[::-1]
    yield codecs.encode(answer, "rot13")
    resolved = resolve(answer)
    if resolved is not None and resolved != answer:
        yield resolved
    for found in _HEX_RUN.finditer(answer):
        digits = _SEPARATORS.sub("", found.group())
        yield bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("utf-8", errors="ignore")
    for found in _BASE64_RUN.finditer("".join(answer.split())):
        run = found.group().replace("-", "+").replace("_", "/")
        for offset in range(4):
            part = run[offset:]
            try:
                decoded = base64.b64decode(part[: len(part) // 4 * 4])
            except binascii.Error:
                continue
            yield decoded.decode("utf-8", errors="ignore")

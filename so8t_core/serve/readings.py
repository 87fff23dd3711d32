"""What an answer may be read as: turned round, or spread out over other letters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import pairwise

from so8t_core.serve.disguise import letters, visible

_SENTENCE_END = re.compile(r"[。．.!?！？\n]+")
_MIRROR = {ord("a") + at: ord("z") - at for at in range(26)}
_ROT47 = {code: 33 + (code - 33 + 47) % 94 for code in range(33, 127)}
_FLIPPED = str.maketrans("ɐqɔpǝɟƃɥᴉɾʞןɯuodbɹsʇnʌʍʎz", "abcdefghijklmnopqrstuvwyz")


def spoken(text: str) -> Iterator[str]:
    """The letters of a text in the orders and selections in which they can be read."""
    plain = letters(text)
    words = text.split()
    yield plain
    yield plain[::-1]
    yield letters(codecs.encode(text, "rot13"))
    yield letters(text.translate(_ROT47))
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


def sparse(text: str) -> Iterator[str]:
    """Every fourth to eighth letter."""
    for spread in dict.fromkeys((text, letters(text))):
        for step in range(4, 9):
            for begin in range(step):
                yield letters(spread[begin::step])


def initials(text: str) -> Iterator[str]:
    """First and last letters of lines, sentences and words: acrostics."""
    for pieces in (text.split("\n"), _SENTENCE_END.split(text), text.split()):
        told = list(filter(None, map(letters, pieces)))
        yield "".join(piece[0] for piece in told)
        yield "".join(piece[-1] for piece in told)


def mirrored(text: str) -> str:
    """Atbash: z for a, y for b."""
    return visible(text).translate(_MIRROR)


def shifts(text: str) -> str:
    """How far each of the letters a to z is from the one before, as a letter.

    The same for all of Caesar's ciphers.
    """
    codes = [ord(one) - ord("a") for one in visible(text) if "a" <= one <= "z"]
    steps = pairwise(codes)
    return "".join(chr(ord("a") + (after - before) % 26) for before, after in steps)

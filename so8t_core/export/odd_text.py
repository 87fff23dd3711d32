"""Random strings that tokenizers get wrong: Japanese, emoji, control characters, false tags."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_RANGES = (
    (0x3042, 0x3093),  # hiragana
    (0x30A2, 0x30F3),  # katakana
    (0x4E00, 0x9FA5),  # kanji
    (0xFF01, 0xFF9E),  # full-width forms and half-width katakana
    (0x1F300, 0x1F64F),  # emoji
    (0x21, 0x7E),  # ASCII
    (0xC0, 0x24F),  # accented Latin
    (0x300, 0x36F),  # combining marks
    (0x410, 0x44F),  # Cyrillic
    (0x20000, 0x2A6D6),  # rare kanji beyond the first plane
)
_SPACES = (" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u3000", "\u00a0", "   ")
_CONTROL = tuple(map(chr, (1, 2, 7, 8, 11, 12, 27, 31, 127, 0x85, 0x9B, 0x200B, 0x200D, 0x202E)))
_PIECES = (
    *("が", "か\u3099", "👨‍👩‍👧", "🏳️‍🌈", "𠮷", "①", "㌔", "12345", "3.14", "don't", "I'LL"),
    *("<think-task>", "</final>", "<|", "|>", "<s", "</s", "[INST]", "<0x0A>", "▁", "Ġ", "\ufffd"),
)


def odd_texts(count: int, seed: int, tokens: Sequence[str]) -> Iterator[str]:
    """`count` strings, the same for a seed.

    `tokens` are a tokenizer's own special tokens; they are mixed in whole, cut short and with a
    letter changed, so that both the tokens and what merely looks like one appear.
    """
    source = random.Random(seed)  # noqa: S311 - nothing secret, but repeatable
    for _ in range(count):
        yield "".join(_piece(source, tokens) for _ in range(source.randint(1, 24)))


def _piece(source: random.Random, tokens: Sequence[str]) -> str:
    kind = source.random()
    if kind < 0.15:
        return source.choice(_SPACES)
    if kind < 0.20:
        return source.choice(_CONTROL)
    if kind < 0.35:
        return source.choice(_PIECES)
    if kind < 0.42 and tokens:
        return _look_alike(source, source.choice(tokens))
    low, high = source.choice(_RANGES)
    return "".join(chr(source.randint(low, high)) for _ in range(source.randint(1, 6)))


def _look_alike(source: random.Random, token: str) -> str:
    match source.randrange(4):
        case 0:
            return token[:-1]
        case 1:
            return token.upper()
        case 2:
            place = source.randrange(len(token))
            return token[:place] + source.choice(" \u200bxｘ") + token[place:]
        case _:
            return token

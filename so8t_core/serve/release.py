"""An answer as it may leave: without what nobody sees."""

from __future__ import annotations

import re
import unicodedata

from so8t_core.serve.disguise import stream_safe

_LINE_BREAKS = re.compile("\r\n|[\u2028\u2029]")
_JOINER = "\N{ZERO WIDTH JOINER}"
_REMOVED = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})


def clean(answer: str) -> str:
    """The answer without characters that nobody sees: they could carry text of their own.

    Line breaks and tabs stay; separators of lines and paragraphs become line breaks, since some
    clients take them for the end of an event. A joiner stays only between symbols (emoji), of
    variation selectors at most one behind a character, of combining characters 30 in a row.
    """
    kept: list[str] = []
    text = stream_safe(_LINE_BREAKS.sub("\n", answer))
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

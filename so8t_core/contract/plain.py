"""Text from outside, made harmless for one line of a terminal, a report or a log."""

from __future__ import annotations

import unicodedata

_REMOVED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")


def plain_text(text: str, *, limit: int | None = None) -> str:
    """One line without control, format (bidi, zero-width) and unassigned characters.

    Line breaks and tabs become spaces, runs of spaces one; a text longer than `limit` characters
    is cut and ends in an ellipsis. Markup is not touched: whoever draws the text keeps it off.
    """
    kept = (" " if character in _SPACES else character for character in text)
    line = " ".join("".join(c for c in kept if unicodedata.category(c) not in _REMOVED).split())
    if limit is not None and len(line) > limit:
        return line[: limit - 1] + "…"
    return line

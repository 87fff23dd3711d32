"""One regular expression for many words, shared beginnings written once.

The plain alternation of a thousand words is tried word by word at each place of a text; a trie
decides after the first letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_Trie = dict[str, "_Trie"]
_END = ""


def word_pattern(
    words: Iterable[str], piece: Callable[[str, int, int], str] | None = None
) -> re.Pattern[str]:
    """A pattern that finds any of the words, the longest at each place.

    `piece(letter, place, length)` gives the expression for a letter of a word of this length; the
    letter itself without it. Without words the pattern finds nothing.
    """
    trie: _Trie = {}
    for word in words:
        node = trie
        for place, letter in enumerate(word):
            part = piece(letter, place, len(word)) if piece else re.escape(letter)
            node = node.setdefault(part, {})
        node[_END] = {}
    return re.compile(_expression(trie) if trie else r"(?!)")


def _expression(node: _Trie) -> str:
    branches = [part + _expression(node[part]) for part in node if part != _END]
    if not branches:
        return ""
    body = branches[0] if len(branches) == 1 and _END not in node else f"(?:{'|'.join(branches)})"
    return body + "?" if _END in node else body

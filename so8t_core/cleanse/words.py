"""Words of a Japanese text by Sudachi (split mode A), as the FineWeb-2 pipeline counts them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from so8t_core.contract.errors import SettingsError

_FIRST_PIECE, _NEXT_PIECE = 0.6, 0.1  # of the text, so that few pieces are asked for
_LEAST_PIECE = 50  # characters
_CUT = re.compile("[。\n](?=[^。、，．\\s」』）)])")
INNER_BLANK = re.compile(r"(?<=[^\s\u2e80-\U0010ffff])\s(?=[^\s\u2e80-\U0010ffff])")
"""A blank that a word of the dictionary may hold, as in "New York"."""
_CHUNK_BYTES = 40_000  # Sudachi takes at most 49,149 at once


@cache
def _tokenizer() -> Any:
    try:
        from sudachipy import Dictionary, SplitMode
    except ImportError as error:
        raise SettingsError(
            "The quality preset fineweb2 counts words and needs SudachiPy, which is not installed.",
            where="cleanse.quality_preset",
            hint="pip install 'so8t[words]', or choose another preset.",
        ) from error
    return Dictionary(dict="core").tokenizer(mode=SplitMode.A)


def require_words() -> None:
    """Raise `SettingsError` where no analyser is installed."""
    _tokenizer()


def word_pieces(text: str) -> Iterator[list[str]]:
    """The words of a text, blanks stripped and empty ones left out, some sentences at a time.

    A piece ends behind a full stop or a line break. The analyser looks for the cheapest way through
    all words, of which every way leads through that mark; so a piece that begins with the mark of
    the one before it has the words that it has within the whole text. Where the mark turns out to
    be part of a longer word, it is no such place, and the rest is analysed as one.
    """
    start = 0
    size = int(len(text) * _FIRST_PIECE)
    while start < len(text):
        found = _CUT.search(text, start + max(size, _LEAST_PIECE))
        size = int(len(text) * _NEXT_PIECE)
        end = found.end() if found else len(text)
        first, words = _analysed(text[max(0, start - 1) : end])
        if start:
            mark = text[start - 1]
            if first != mark:
                yield _analysed(text[start:])[1]
                return
            del words[: bool(mark.strip())]
        yield words
        start = end


def _analysed(text: str) -> tuple[str, list[str]]:
    """The first word as it stands, and all words, blanks stripped and empty ones left out.

    Written out at once, with blanks between them, they cost less than one by one; where a word may
    hold a blank itself, as in "New York", they are asked for singly.
    """
    one_by_one = INNER_BLANK.search(text) is not None
    first = ""
    found: list[str] = []
    for chunk in _chunks(text):
        words = _tokenizer().tokenize(chunk)
        if one_by_one:
            singly = list(map(str, words))
            first = first or singly[0]
            found += filter(None, map(str.strip, singly))
        else:
            written = str(words)
            first = first or written.partition(" ")[0]
            found += written.split()
    return first, found


def _chunks(text: str) -> Iterator[str]:
    """Pieces that fit the analyser."""
    if len(text) * 4 <= _CHUNK_BYTES:
        yield text
        return
    start = size = 0
    for place, letter in enumerate(text):
        width = len(letter.encode("utf-8", "surrogatepass"))
        if size + width > _CHUNK_BYTES:
            yield text[start:place]
            start, size = place, 0
        size += width
    yield text[start:]

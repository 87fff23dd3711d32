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
        words = _analysed(text[max(0, start - 1) : end])
        if start:
            if words[0] != text[start - 1]:
                yield _stripped(_analysed(text[start:]))
                return
            del words[0]
        yield _stripped(words)
        start = end


def _analysed(text: str) -> list[str]:
    found: list[str] = []
    for chunk in _chunks(text):
        found += map(str, _tokenizer().tokenize(chunk))
    return found


def _stripped(words: list[str]) -> list[str]:
    return list(filter(None, map(str.strip, words)))


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

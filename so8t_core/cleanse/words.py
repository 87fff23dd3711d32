"""Words of a Japanese text by Sudachi (split mode A), as the FineWeb-2 pipeline counts them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from so8t_core.contract.errors import SettingsError

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


def split_words(text: str) -> list[str]:
    """The surfaces of all words, blanks stripped and empty ones left out."""
    found: list[str] = []
    for chunk in _chunks(text):
        found += filter(None, map(str.strip, map(str, _tokenizer().tokenize(chunk))))
    return found


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

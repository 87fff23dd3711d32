"""Text as terminal cells: harmless, measured and cut by width, never read as markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.content import Content

from so8t_core.contract.plain import plain_text

_REMOVED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SHOWN_LIMIT = 2000


def outside(text: object, limit: int = _SHOWN_LIMIT) -> str:
    """Text from outside as one harmless line of at most `limit` characters."""
    return plain_text(str(text)[: limit * 4], limit=limit)


def harmless_block(text: str) -> str:
    """Many lines without control and format characters; indentation stays."""
    return "\n".join(
        "".join(c for c in line if unicodedata.category(c) not in _REMOVED)
        for line in text.expandtabs(4).splitlines()
    )


def table_cell(parts: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> Text:
    """Styled pieces for a `DataTable`, which measures Rich text alone; `$name` is a colour."""
    return Text.assemble(
        *((text, variables[style.removeprefix("$")]) for text, style in parts), no_wrap=True
    )


def fitted(text: str, width: int) -> str:
    """The text cut with an ellipsis, or padded with spaces, to exactly `width` cells."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)
    return set_cell_size(text, width)


def right(text: str, width: int) -> str:
    """The text flush right in `width` cells."""
    return " " * (width - cell_len(text)) + text if cell_len(text) < width else fitted(text, width)


def joined(left: Content, right_part: Content, width: int) -> Content:
    """Two pieces at the two ends of a line of `width` cells; the left one gives way."""
    room = width - right_part.cell_length - 1
    if room < 1:
        return right_part.truncate(width, ellipsis=True)
    left = left.truncate(room, ellipsis=True)
    return left.pad_right(width - left.cell_length - right_part.cell_length) + right_part

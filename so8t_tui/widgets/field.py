"""A line to type in, whose text can be shown: what is pasted or offered may come from anywhere."""

from __future__ import annotations

from textual.widgets import Input

from so8t_tui.text import harmless_block

_MOST_CHARACTERS = 4096
"""As long as a path may be."""


class Field(Input):
    """An input that takes no control or format characters, and no more than a path's length.

    Textual writes an input's text to the terminal as it is.
    """

    def validate_value(self, value: str) -> str:
        """The text as it is taken."""
        return harmless_block(value[:_MOST_CHARACTERS]).replace("\n", " ")

"""The line of tabs: numbers, names, the open one marked; a click opens one.

Textual's own tabs cost a restyling of every tab for each change, several milliseconds a key.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

_GAP = 1


class TabBar(Widget):
    """One line; where not all tabs fit, those around the open one are shown."""

    ALLOW_SELECT = False

    class Chosen(Message):
        """A tab was clicked; tabs count from 1."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, names: Sequence[str], active: int) -> None:
        super().__init__()
        self._labels = [f" {number} {name} " for number, name in enumerate(names, start=1)]
        self._active = active
        self._places: list[tuple[range, int]] = []

    @property
    def active(self) -> int:
        """The open tab's number."""
        return self._active

    def put(self, active: int) -> None:
        """Mark another tab as open."""
        if active != self._active:
            self._active = active
            self.refresh()

    def render(self) -> Content:
        """The tabs that fit, the open one among them."""
        width = self.content_size.width
        first, last = self._window(width)
        parts: list[str | tuple[str, str]] = []
        self._places, at = [], 0
        if first > 0:
            parts.append(("‹", "$faint"))
            at = 1
        for index in range(first, last):
            label, number = self._labels[index], index + 1
            style = "bold reverse $brand" if number == self._active else "$soft"
            parts += [(label, style), " " * _GAP]
            self._places.append((range(at, at + cell_len(label)), number))
            at += cell_len(label) + _GAP
        if last < len(self._labels):
            parts.append(("›", "$faint"))
        return Content.assemble(*parts).truncate(width)

    def _window(self, width: int) -> tuple[int, int]:
        """From which tab to which (excluded) there is room."""
        sizes = [cell_len(label) + _GAP for label in self._labels]
        if sum(sizes) - _GAP <= width:
            return 0, len(sizes)
        first = last = self._active - 1
        last += 1
        room = width - 2 - sizes[first]
        while True:
            if last < len(sizes) and sizes[last] <= room:
                room -= sizes[last]
                last += 1
            elif first > 0 and sizes[first - 1] <= room:
                first -= 1
                room -= sizes[first]
            else:
                return first, last

    def on_click(self, event: events.Click) -> None:
        """A click opens the tab under it."""
        offset = event.get_content_offset(self)
        for place, number in self._places:
            if offset is not None and offset.x in place:
                self.post_message(self.Chosen(number))

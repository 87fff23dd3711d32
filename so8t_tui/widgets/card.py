"""A titled block drawn from one value, and redrawn only when that value changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

Value = TypeVar("Value")


class Card(Widget, Generic[Value]):
    """Subclasses draw; the card compares, clips, and says what will appear while it is empty."""

    ALLOW_SELECT = True

    def __init__(self, title: str, empty: str = "", *, id_: str | None = None) -> None:
        super().__init__(id=id_, classes="card")
        self.border_title = Content(title)
        self._empty = empty
        self._value: Value | None = None

    @property
    def value(self) -> Value | None:
        """What is shown."""
        return self._value

    def put(self, value: Value) -> None:
        """Show `value`; costs a comparison when it is what is shown already."""
        if value != self._value:
            self._value = value
            self.refresh(layout=self._height_changes())

    def _height_changes(self) -> bool:
        """Whether what is shown now asks for another height than the card has."""
        height = self.styles.height
        if height is None or not height.is_auto:
            return False
        wanted = self.get_content_height(self.size, self.app.size, self.content_size.width)
        return wanted != self.content_size.height

    def put_note(self, note: str) -> None:
        """Say something short at the right end of the title's line."""
        shown = Content(note)
        if not shown.is_same(Content(str(self.border_subtitle or ""))):
            self.border_subtitle = shown

    def render(self) -> Content:
        """The lines that fit; empty cards say what will appear."""
        width, height = self.content_size
        if width < 1 or height < 1:
            return Content()
        lines = list(self.draw(self._value, width, height)) if self._value else []
        if not lines and self._empty:
            return Content.styled(self._empty, "$faint")
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines[:height])

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's signature
        """All lines, where the style sheet leaves the height to the content."""
        if not self._value:
            return 1
        return len(self.draw(self._value, max(1, width), viewport.height))

    def draw(self, value: Value, width: int, height: int) -> Sequence[Content]:
        """The lines for a block of that size; at most `height` of them are shown."""
        raise NotImplementedError

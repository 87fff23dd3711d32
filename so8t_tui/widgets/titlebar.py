"""The first line: which run this is, how it stands, for how long, and who drives it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from so8t_tui.locale import Words
from so8t_tui.standing import LOOKS, Standing
from so8t_tui.text import joined


@dataclass(frozen=True)
class Heading:
    """What the title bar says; `notes` in falling order of importance."""

    name: str
    standing: Standing | None = None
    notes: tuple[str, ...] = ()


class TitleBar(Widget):
    """Drawn anew only when its heading changes."""

    def __init__(self, words: Words, heading: Heading) -> None:
        super().__init__()
        self._words = words
        self._heading = heading

    def put(self, heading: Heading) -> None:
        """Show another heading."""
        if heading != self._heading:
            self._heading = heading
            self.refresh()

    def render(self) -> Content:
        """Name at the left, state and notes at the right; notes give way to the name."""
        heading, width = self._heading, self.content_size.width
        left = Content.assemble(("SO8T", "bold $brand"), "  ", (heading.name, "$ink"))
        notes = list(heading.notes)
        while True:
            end = self._end(notes)
            if not notes or left.cell_length + end.cell_length + 2 <= width:
                return joined(left, end, width)
            notes.pop()

    def _end(self, notes: list[str]) -> Content:
        parts: list[str | tuple[str, str]] = []
        if self._heading.standing is not None:
            look = LOOKS[self._heading.standing]
            parts.append((f"{look.glyph} {self._words(look.word)}", f"bold {look.style}"))
        for note in notes:
            parts += [("  ", ""), (note, "$soft")]
        return Content.assemble(*parts)

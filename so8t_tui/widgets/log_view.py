"""Lines of a log on a scrolled surface; only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from so8t_core.contract.state import LogLine
from so8t_tui.amounts import clock_time
from so8t_tui.locale import Words
from so8t_tui.text import fitted, outside
from so8t_tui.widgets.overview import LEVEL_STYLES

_LINE_LIMIT = 1000
_PHASE_WIDTH = 10
_LEVEL_WIDTH = 8


class LogView(ScrollView, can_focus=True):
    """Follows the newest line while it is there, until somebody scrolls up or says otherwise."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self._words = words
        self._lines: tuple[LogLine, ...] = ()
        self._needle = ""
        self._held = False

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """The lines that are shown."""
        return self._lines

    @property
    def following(self) -> bool:
        """Whether new lines move the view."""
        return not self._held and self.is_vertical_scroll_end

    def follow(self, wanted: bool) -> None:
        """Follow the end from now on, or stay here."""
        self._held = not wanted
        if wanted:
            self.scroll_end(animate=False, immediate=True)

    def put(self, lines: tuple[LogLine, ...], needle: str = "") -> None:
        """Show these lines, those with `needle` (casefolded) marked."""
        if lines == self._lines and needle == self._needle:
            return
        following = self.following
        self._lines, self._needle = lines, needle
        self.virtual_size = Size(self.scrollable_content_region.width, len(lines))
        if following:
            self.scroll_end(animate=False, immediate=True)
        self.refresh()

    def go_to(self, matches: Callable[[LogLine], bool], by: int) -> None:
        """Put the next (-1: previous) matching line at the top; round the end."""
        count = len(self._lines)
        for distance in range(1, count + 1):
            place = (int(self.scroll_offset.y) + by * distance) % count
            if matches(self._lines[place]):
                self._held = True
                self.scroll_to(y=place, animate=False, immediate=True)
                return

    def plain(self, line: LogLine) -> str:
        """A line as text."""
        clock = clock_time(line.ts)
        phase = self._words(line.phase) if line.phase else ""
        return " ".join(
            (
                clock,
                fitted(self._words(line.level), _LEVEL_WIDTH),
                fitted(phase, _PHASE_WIDTH),
                outside(line.message, _LINE_LIMIT),
            )
        )

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        number = y + self.scroll_offset.y
        base = self.rich_style
        if number >= len(self._lines):
            return Strip.blank(width, base)
        line = self._lines[number]
        variables = self.app.theme_variables
        colour = variables[LEVEL_STYLES.get(line.level, "$ink").removeprefix("$")]
        whole = self.plain(line)
        text = fitted(whole, width) if cell_len(whole) > width else whole
        marked = bool(self._needle) and self._needle in whole.casefold()
        style = base + Style(color=colour, reverse=marked)
        segments = [
            Segment(text[:8], base + Style(color=variables["faint"])),
            Segment(text[8:], style),
        ]
        return Strip(segments).adjust_cell_length(width, base)

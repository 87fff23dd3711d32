"""The log: every kept line of the run, filtered by level and text, following its end."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from so8t_core.contract.state import LogLine
from so8t_tui.locale import Words
from so8t_tui.text import fitted, outside
from so8t_tui.widgets.overview import LEVEL_STYLES
from so8t_tui.widgets.panel import Panel, Scene

_LINE_LIMIT = 1000
_PHASE_WIDTH = 10
_LEVEL_WIDTH = 8
LEVELS = ("debug", "info", "warning", "error")


class LogView(ScrollView, can_focus=True):
    """Draws only the lines in sight; stays at the end while it is there."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self._words = words
        self._lines: tuple[LogLine, ...] = ()

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """The lines that pass the filter."""
        return self._lines

    def put(self, lines: tuple[LogLine, ...]) -> None:
        """Show these lines."""
        if lines == self._lines:
            return
        at_end = self.is_vertical_scroll_end
        self._lines = lines
        self.virtual_size = Size(self.scrollable_content_region.width, len(lines))
        if at_end:
            self.scroll_end(animate=False, immediate=True)
        self.refresh()

    def plain(self, line: LogLine) -> str:
        """A line as text."""
        clock = time.strftime("%H:%M:%S", time.localtime(line.ts))
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
        text = self.plain(line)
        clock, rest = text[:8], text[8:]
        segments = [
            Segment(clock, base + Style(color=variables["faint"])),
            Segment(rest, base + Style(color=colour)),
        ]
        return Strip(segments).adjust_cell_length(width, base)


class Log(Panel):
    """Filter and level above the lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("v", "level", "Level"),
        Binding("escape", "clear", "Clear", show=False),
    ]

    def __init__(self, words: Words) -> None:
        super().__init__(words)
        self._least = "info"
        self._needle = ""
        self._all: tuple[LogLine, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="log-note")
        yield LogView(self.words)
        search = Input(placeholder=self.words("text to look for"), compact=True)
        search.display = False
        yield search

    def show(self, scene: Scene) -> None:
        if scene.seen.state.log is not self._all:
            self._all = scene.seen.state.log
            self._apply()

    def _apply(self) -> None:
        least = LEVELS.index(self._least)
        needle = self._needle.casefold()
        chosen = tuple(
            line
            for line in self._all
            if (line.level not in LEVELS or LEVELS.index(line.level) >= least)
            and (not needle or needle in f"{line.phase or ''} {line.message}".casefold())
        )
        self.query_one(LogView).put(chosen)
        self.query_one("#log-note", Static).update(self._note(len(chosen)))

    def _note(self, shown: int) -> Content:
        words = self.words
        if not self._all:
            return Content.styled(words("Messages of the phases appear here."), "$faint")
        parts = [
            words("{shown} of {all} lines", shown=shown, all=len(self._all)),
            words("level {level} and above", level=words(self._least)),
        ]
        if self._needle:
            parts.append(words("with “{needle}”", needle=outside(self._needle, 40)))
        return Content.styled(" · ".join(parts), "$faint")

    def focus_target(self) -> Widget | None:
        return self.query_one(LogView)

    def copy_text(self) -> str:
        view = self.query_one(LogView)
        return "\n".join(view.plain(line) for line in view.lines)

    def action_filter(self) -> None:
        """Open the line in which to type what to look for."""
        search = self.query_one(Input)
        search.display = True
        search.focus()

    def action_level(self) -> None:
        """Raise the least level that is shown; after the highest comes the lowest."""
        position = (LEVELS.index(self._least) + 1) % len(LEVELS)
        self._least = LEVELS[max(1, position)]
        self._apply()

    def action_clear(self) -> None:
        """Show every line again."""
        search = self.query_one(Input)
        search.value = ""
        search.display = False
        self.query_one(LogView).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "clear":
            return self.query_one(Input).display or bool(self._needle)
        return super().check_action(action, parameters)

    @on(Input.Changed)
    def _needle_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._needle = event.value
        self._apply()

    @on(Input.Submitted)
    def _needle_kept(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(Input).display = False
        self.query_one(LogView).focus()

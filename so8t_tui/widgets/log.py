"""The log: every kept line of the run, by level, phase and text, following its end or not."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.state import LogLine
from so8t_tui.locale import Words
from so8t_tui.text import outside
from so8t_tui.widgets.field import Field
from so8t_tui.widgets.log_view import LogView
from so8t_tui.widgets.panel import Panel, Scene

LEVELS = ("debug", "info", "warning", "error")


class Log(Panel):
    """Filter and level above the lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="log.filter"),
        Binding("v", "level", "Level", id="log.level"),
        Binding("p", "phase", "Phase", id="log.phase"),
        Binding("f", "follow", "Follow", id="log.follow"),
        Binding("m", "marks", "Mark only", id="log.marks", show=False),
        Binding("n", "match(1)", "Next match", id="log.next", show=False),
        Binding("N", "match(-1)", "Match before", id="log.before", show=False),
        Binding("escape", "clear", "Clear", id="log.clear", show=False),
    ]

    def __init__(self, words: Words) -> None:
        super().__init__(words)
        self._least = "info"
        self._phase: str | None = None
        self._needle = ""
        self._only_marks = False
        self._all: tuple[LogLine, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="log-note")
        yield LogView(self.words)
        search = Field(placeholder=self.words("text to look for"), compact=True)
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
            and (self._phase is None or line.phase == self._phase)
            and (self._only_marks or not needle or needle in _searched(line))
        )
        view = self.query_one(LogView)
        view.put(chosen, needle if self._only_marks else "")
        self.query_one("#log-note", Static).update(self._note(len(chosen), view.following))

    def _note(self, shown: int, following: bool) -> Content:
        words = self.words
        if not self._all:
            return Content.styled(words("Messages of the phases appear here."), "$faint")
        parts = [
            words("{shown} of {all} lines", shown=shown, all=len(self._all)),
            words("level {level} and above", level=words(self._least)),
        ]
        if self._phase is not None:
            parts.append(words("phase {phase}", phase=words(self._phase)))
        if self._needle:
            wording = "“{needle}” is marked" if self._only_marks else "with “{needle}”"
            parts.append(words(wording, needle=outside(self._needle, 40)))
        if not following:
            parts.append(words("does not follow"))
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

    def action_phase(self) -> None:
        """Show the lines of the next phase that has any; after the last, all."""
        present = {line.phase for line in self._all}
        choices: list[str | None] = [None, *(name for name in PHASE_NAMES if name in present)]
        place = choices.index(self._phase) if self._phase in choices else 0
        self._phase = choices[(place + 1) % len(choices)]
        self._apply()

    def action_follow(self) -> None:
        """Stay at the newest line, or stay where the view is."""
        view = self.query_one(LogView)
        view.follow(not view.following)
        self._apply()

    def action_marks(self) -> None:
        """Mark what is looked for among all lines, instead of hiding the others."""
        self._only_marks = not self._only_marks
        self._apply()

    def action_match(self, by: int) -> None:
        """Go to the next line that has what is looked for."""
        needle = self._needle.casefold()
        if needle:
            self.query_one(LogView).go_to(lambda line: needle in _searched(line), by)
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


def _searched(line: LogLine) -> str:
    return f"{line.phase or ''} {line.message}".casefold()

"""The keys of the screen underneath, made from its bindings, and what the symbols mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from so8t_tui.locale import Words
from so8t_tui.screens.dialog import Dialog
from so8t_tui.standing import LOOKS
from so8t_tui.text import fitted


def key_lines(
    bindings: Iterable[ActiveBinding], display: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """What can be done, in the order of declaration, with every key that does it."""
    found: dict[str, tuple[str, ...]] = {}
    for active in bindings:
        binding = active.binding
        # Textual's own have no name; its second key for the same thing is told beside ours
        if binding.description and (binding.id or binding.description in found):
            keys = found.get(binding.description, ())
            shown = display.get(binding.key, binding.key)
            if shown not in keys:
                found[binding.description] = (*keys, shown)
    return found


class HelpDialog(Dialog[None]):
    """One line an action; closes on the key that opened it, on q and on Escape."""

    LEAVING = "Close"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,q,f1", "cancel", "Close", id="help.close"),
        Binding("j", "scroll_by(1)", "Down", id="help.down", show=False),
        Binding("k", "scroll_by(-1)", "Up", id="help.up", show=False),
    ]

    def __init__(self, words: Words, bindings: Mapping[str, ActiveBinding]) -> None:
        super().__init__(words)
        self._active = list(bindings.values())

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog tall") as box:
            box.border_title = Content(self.words("Keys"))
            yield Static(self._lines())

    def _lines(self) -> Content:
        words = self.words
        display = {
            each.binding.key: self.app.get_key_display(each.binding) for each in self._active
        }
        keys = {label: " ".join(k) for label, k in key_lines(self._active, display).items()}
        width = max((cell_len(key) for key in keys.values()), default=1)
        lines = [
            Content.assemble((fitted(key, width), "bold $brand"), f"  {words(label)}")
            for label, key in keys.items()
        ]
        lines += [Content(), Content.styled(words("States"), "bold $soft")]
        lines += [
            Content.assemble((f"{look.glyph} {words(look.word)}", look.style))
            for look in LOOKS.values()
        ]
        return Content("\n").join(lines)

    def action_scroll_by(self, by: int) -> None:
        """Scroll by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

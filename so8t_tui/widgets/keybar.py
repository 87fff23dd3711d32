"""The last line: the keys that work now, made from the bindings themselves."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from so8t_tui.locale import Words


class KeyBar(Widget):
    """Shows every binding that is active and meant to be shown; a click does the same."""

    ALLOW_SELECT = False

    def __init__(self, words: Words, *, extra: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__()
        self._words = words
        self._extra = extra
        self._keys: tuple[tuple[str, str, str], ...] = ()
        self._places: list[tuple[range, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self._bindings_changed(self.screen)

    def _bindings_changed(self, _screen: Screen[object]) -> None:
        if not self.is_attached:
            return
        first: dict[str, tuple[str, str, str]] = {}
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if binding.show and active.enabled and binding.description:
                shown = (self.app.get_key_display(binding), binding.description, key)
                first.setdefault(binding.action, shown)
        keys = tuple(first.values())
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render(self) -> Content:
        """As many keys as fit, in the order in which they are declared."""
        width = self.content_size.width
        pieces: list[Content] = []
        used = 0
        self._places = []
        known = [(shown, label, key) for shown, label, key in self._keys]
        for shown, label, key in [*known, *((k, text, "") for k, text in self._extra)]:
            wording = self._words(label)
            need = cell_len(shown) + cell_len(wording) + 3
            if used + need - 2 > width:
                break
            used += need
            self._places.append((range(used - need, used - 2), key))
            pieces.append(Content.assemble((shown, "bold $brand"), " ", (wording, "$soft")))
        return Content("  ").join(pieces)

    def on_click(self, event: events.Click) -> None:
        """A click on a key does what the key does."""
        offset = event.get_content_offset(self)
        for place, key in self._places:
            if key and offset is not None and offset.x in place:
                self.app.simulate_key(key)

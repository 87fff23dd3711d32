"""The command palette: everything that a key can do here, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from so8t_tui.text import fitted

if TYPE_CHECKING:
    from so8t_tui.app import ControlCenter

_KEY_WIDTH = 10

Command = tuple[str, str, Callable[[], Any]]


class Palette(CommandPalette):
    """Textual's palette; what was on its way when it closed does nothing."""

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Close, unless that has happened."""
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def _gather_commands(self, search_value: str) -> Any:
        """Look for commands, unless the list to show them in is gone: that ended the interface."""
        return super()._gather_commands(search_value) if self.is_active else None


class Actions(Provider):
    """Made from the bindings that are active where the palette was opened, so it cannot differ."""

    @property
    def _center(self) -> ControlCenter:
        return cast("ControlCenter", self.app)

    def _commands(self) -> Iterator[Command]:
        words, seen = self._center.words, set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            told = (binding.description, binding.action)
            named = binding.id and binding.description  # Textual's own have no name
            if not named or not active.enabled or told in seen:
                continue
            if binding.action == "command_palette":
                continue
            seen.add(told)
            run = partial(self._run, binding.action, active.node)
            yield words(binding.description), self.app.get_key_display(binding), run
        yield from self._center.theme_commands()

    async def _run(self, action: str, node: Any) -> None:
        await self.app.run_action(action, node)

    async def discover(self) -> Hits:
        """Every command, before anything is typed."""
        for name, key, run in self._commands():
            yield DiscoveryHit(_shown(key, Content(name)), run, name)

    async def search(self, query: str) -> Hits:
        """Commands whose names match, however loosely."""
        matcher = self.matcher(query)
        for name, key, run in self._commands():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, _shown(key, matcher.highlight(name)), run, name)


def _shown(key: str, name: Content) -> Content:
    """A command in one line: its key, then its name."""
    return Content.assemble((fitted(key, _KEY_WIDTH), "bold $brand"), " ", name)

"""The command palette: everything that a key can do here, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from so8t_tui.app import ControlCenter

Command = tuple[str, str, Callable[[], Any]]


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
            if not binding.description or not active.enabled or told in seen:
                continue
            if binding.action.startswith(("app.command_palette", "screen.", "command_palette")):
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
            yield DiscoveryHit(name, run, help=key)

    async def search(self, query: str) -> Hits:
        """Commands whose names match, however loosely."""
        matcher = self.matcher(query)
        for name, key, run in self._commands():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), run, help=key)

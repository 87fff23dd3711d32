"""The hosts that a crawl talks to: what each is doing and why it waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from textual.content import Content

from so8t_tui.crawlwords import host_state
from so8t_tui.locale import Words
from so8t_tui.text import outside, table_cell
from so8t_tui.widgets.table import Table

_LIMIT = 200


class Hosts(Table):
    """One stable row a host; only cells that changed are drawn again."""

    def __init__(self, words: Words) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, show_header=True, id="hosts")
        self._words = words
        self._shown: dict[str, str] = {}
        self.add_class("card")
        self.border_title = Content(words("Hosts"))

    def on_mount(self) -> None:
        self.add_column(self._words("host"), key="host")
        self.add_column(self._words("state"), key="state")

    def put(self, hosts: Mapping[str, Any]) -> None:
        """Show the hosts' states."""
        for name, state in list(hosts.items())[:_LIMIT]:
            told = self._told(state)
            if self._shown.get(name) == told:
                continue
            cell = self._cell(told, "$soft")
            if name in self._shown:
                self.update_cell(name, "state", cell, update_width=True)
            else:
                self.add_row(self._cell(outside(name, 80), "$ink"), cell, key=name)
            self._shown[name] = told
        for name in self._shown.keys() - hosts.keys():
            del self._shown[name]
            self.remove_row(name)

    def _cell(self, text: str, style: str) -> Text:
        return table_cell([(text, style)], self.app.theme_variables)

    def _told(self, state: Any) -> str:
        """A host's state while the crawl runs; its counts afterwards."""
        if not isinstance(state, Mapping):
            return host_state(state, self._words)
        counts = [(self._words(outside(key, 40)), outside(n, 40)) for key, n in state.items()]
        return ", ".join(f"{name} {count}" for name, count in counts)

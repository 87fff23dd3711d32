"""The evaluation: scores, base and tuned side by side, and answers of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult

from so8t_tui.text import outside
from so8t_tui.widgets.facts import Facts
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.recent import recent_rows
from so8t_tui.widgets.rows import Cell, Row, Rows


class Evaluate(Panel):
    """Compared figures, single figures, samples."""

    def compose(self) -> ComposeResult:
        words = self.words
        yield Rows(words("Compared"), words("Base and tuned side by side."), id_="compared")
        yield Facts(words("Figures"), words("Starts when training is done."), id_="figures")
        yield Rows(words("Samples"), words("Answers appear here."), id_="samples")

    def show(self, scene: Scene) -> None:
        view = scene.seen.state.phases["evaluate"]
        values = {**view.stats, **view.figures}
        compared = _comparable(values)
        self.query_one("#compared", Rows).put(self._table(compared))
        self.query_one("#compared", Rows).display = bool(compared)
        rest = {key: value for key, value in values.items() if key not in compared}
        self.query_one("#figures", Facts).put(self.facts_from(rest))
        self.query_one("#samples", Rows).put(recent_rows(view.items))

    def _table(self, compared: Mapping[str, Mapping[str, Any]]) -> tuple[Row, ...]:
        if not compared:
            return ()
        keys = list(dict.fromkeys(key for values in compared.values() for key in values))
        head: Row = (
            Cell(""),
            *(Cell(self.label(name), "bold $brand", flush_right=True) for name in compared),
            Cell(""),
        )
        rows: list[Row] = [head]
        for key in keys:
            facts = [
                self.fact(key, values[key]).value if key in values else ""
                for values in compared.values()
            ]
            label = self.fact(key, next(v[key] for v in compared.values() if key in v)).label
            cells = (Cell(text, "$ink", flush_right=True) for text in facts)
            rows.append((Cell(outside(label, 60), "$soft"), *cells, Cell("")))
        return tuple(rows)


def _comparable(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The nested figures that share a key with another: one column each."""
    nested = {
        key: value
        for key, value in values.items()
        if isinstance(value, Mapping)
        and value
        and all(isinstance(v, int | float | str) for v in value.values())
    }
    return {
        key: value
        for key, value in nested.items()
        if any(value.keys() & other.keys() for name, other in nested.items() if name != key)
    }

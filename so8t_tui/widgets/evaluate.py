"""The evaluation: scores, base and tuned side by side, and answers of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from textual.app import ComposeResult

from so8t_core.contract.state import Item
from so8t_tui.text import outside
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.panel import Panel, Scene
from so8t_tui.widgets.rows import Cell, Row, Rows

_SIDES = ("base", "tuned")
_COLUMNS = (*_SIDES, "difference")
_ANSWER_LIMIT = 400

Compared = tuple[str, Mapping[str, Any]]


class Evaluate(Panel):
    """Compared figures, single figures, samples."""

    def compose(self) -> ComposeResult:
        words = self.words
        yield Rows(words("Compared"), words("Base and tuned side by side."), id_="compared")
        yield Facts(words("Figures"), words("Starts when training is done."), id_="figures")
        yield Rows(words("Samples"), words("Answers appear here."), id_="samples")

    def show(self, scene: Scene) -> None:
        view = scene.seen.state.phases["evaluate"]
        values = view.figures or view.stats
        table = self._table(list(compared(values)))
        self.query_one("#compared", Rows).put(table)
        self.query_one("#compared", Rows).display = bool(table)
        self.query_one("#figures", Facts).put(self.facts_from(uncompared(values)))
        samples = [row for item in reversed(view.items) for row in self._sample(item)]
        self.query_one("#samples", Rows).put(tuple(samples))

    def fact(self, key: str, value: object) -> Fact:
        """As every panel's, with verdicts in the interface's language."""
        fact = super().fact(key, value)
        return replace(fact, value=self.words(fact.value)) if key == "verdict" else fact

    def _table(self, rows: list[Compared]) -> tuple[Row, ...]:
        if not rows:
            return ()
        columns = [name for name in _COLUMNS if any(name in values for _, values in rows)]
        head = (Cell(self.words(name), "bold $brand", flush_right=True) for name in columns)
        table: list[Row] = [(Cell(""), *head, Cell(""))]
        for path, values in rows:
            *parents, key = path.split(".")
            name = self.fact(key, _value(values[_SIDES[0]])).label
            label = " · ".join([*(self.label(part) for part in parents), name])
            cells = (
                Cell(
                    self.fact(key, _value(values[name])).value if name in values else "",
                    "$ink",
                    flush_right=True,
                )
                for name in columns
            )
            table.append((Cell(label, "$soft"), *cells, Cell(_interval(values), "$faint")))
        return tuple(table)

    def _sample(self, item: Item) -> Iterator[Row]:
        yield (Cell(outside(item.text, _ANSWER_LIMIT), "$ink"),)
        for side in _SIDES:
            if side in item.fields:
                answer = outside(item.fields[side], _ANSWER_LIMIT)
                yield (Cell(f"  {self.words(side)}: {answer}", "$soft"),)


def _value(found: Any) -> Any:
    return found["value"] if isinstance(found, Mapping) else found


def _interval(values: Mapping[str, Any]) -> str:
    """The uncertainty of the difference, where the evaluation tells it."""
    found = values.get("difference")
    bounds = found.get("interval") if isinstance(found, Mapping) else None
    if not isinstance(bounds, list) or not all(isinstance(b, int | float) for b in bounds):
        return ""
    return "[" + ", ".join(f"{bound:+.3g}" for bound in bounds) + "]"


def _single(found: Any) -> bool:
    if isinstance(found, Mapping):
        return isinstance(found.get("value"), int | float)
    return isinstance(found, int | float | str)


def _pair(values: Mapping[str, Any]) -> bool:
    return all(side in values for side in _SIDES)


def compared(values: Mapping[str, Any], path: str = "") -> Iterator[Compared]:
    """Every figure that is there for base and tuned, with its dotted path."""
    if _pair(values):
        if all(_single(values[side]) for side in _SIDES):
            yield path, {name: values[name] for name in _COLUMNS if _single(values.get(name))}
            return
        sides = [values[side] for side in _SIDES]
        if all(isinstance(side, Mapping) for side in sides):
            for key in sides[0]:
                if all(_single(side.get(key)) for side in sides):
                    row = dict(zip(_SIDES, (side[key] for side in sides), strict=True))
                    yield _joined(path, key), row
        return
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from compared(value, _joined(path, key))


def uncompared(values: Mapping[str, Any]) -> dict[str, Any]:
    """The figures without those of base and tuned."""
    rest: dict[str, Any] = {}
    for key, value in values.items():
        if key in _SIDES:
            continue
        if not isinstance(value, Mapping):
            rest[key] = value
        elif not _pair(value) and (inner := uncompared(value)):
            rest[key] = inner
    return rest


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key

"""A tab's content: mounted when its tab is first opened, told of a state when it is visible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textual.containers import Container
from textual.widget import Widget

from so8t_core.contract.state import PhaseView
from so8t_core.contract.watch import Seen
from so8t_tui.amounts import measured
from so8t_tui.locale import Words
from so8t_tui.text import outside
from so8t_tui.widgets.facts import Fact, under

_KEY_LIMIT = 60
_VALUE_LIMIT = 120
_LISTED = 20
_DIGEST = re.compile(r"[0-9a-f]{40,}")
_DIGEST_SHOWN = 12


@dataclass(frozen=True)
class Scene:
    """What there is to show: the run as seen, at Unix time `now`."""

    seen: Seen
    now: float


class Panel(Container):
    """Base of the tabs' contents."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.words = words

    def show(self, scene: Scene) -> None:
        """Show a scene. Called only while the panel is visible."""
        raise NotImplementedError

    def focus_target(self) -> Widget | None:
        """What takes the keyboard when the tab is opened."""
        return None

    def scroll_target(self) -> Widget | None:
        """What j, k, g and G scroll."""
        return self.focus_target()

    def copy_text(self) -> str:
        """What `y` copies; empty where there is nothing."""
        return ""

    def facts_from(
        self, values: Mapping[str, Any], known: frozenset[str] = frozenset()
    ) -> tuple[Fact, ...]:
        """Facts for every key that no other part of the panel shows; groups have a heading."""
        facts: list[Fact] = []
        for key, value in values.items():
            if key in known:
                continue
            if isinstance(value, list):
                facts += self._listed(key, value)
            elif isinstance(value, Mapping):
                facts += under(self.label(key), self.facts_from(value))
            else:
                facts.append(self.fact(key, value))
        return tuple(facts)

    def _listed(self, key: str, values: list[Any]) -> list[Fact]:
        """Named checks as a fact each, scalars as one fact, of other things their number."""
        if values and all(isinstance(v, Mapping) and "name" in v for v in values):
            return [self._check(value) for value in values]
        if all(isinstance(v, str | int | float) for v in values):
            told = ", ".join(str(v) for v in values[:_LISTED])
            return [Fact(self.label(key), outside(told, _VALUE_LIMIT))]
        return [Fact(self.label(key), f"{len(values):,}")]

    def _check(self, check: Mapping[str, Any]) -> Fact:
        fact = self.fact(str(check["name"]), check.get("value", ""))
        passed = check.get("passed")
        if passed is None:
            return fact
        sign, style = ("✓", "$good") if passed else ("✗", "$bad")
        return Fact(fact.label, f"{sign} {fact.value}".rstrip(), style)

    def fact(self, key: str, value: object) -> Fact:
        """One key and value; the unit is read from the key."""
        label, text = measured(outside(key, _KEY_LIMIT), value)
        if isinstance(value, bool):
            text = self.words(text)
        if _DIGEST.fullmatch(text):
            text = text[:_DIGEST_SHOWN] + "…"
        return Fact(self.words(label), outside(text, _VALUE_LIMIT))

    def label(self, key: str) -> str:
        """A key as a label."""
        return self.words(outside(key, _KEY_LIMIT).replace("_", " "))

    def counted(self, view: PhaseView, key: str) -> Mapping[str, Any]:
        """A nested counter of a phase's stats; empty where the phase has not told it."""
        found = view.stats.get(key)
        return found if isinstance(found, Mapping) else {}

"""Runs one side through all items, keeping each result as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.evaluation.generation import answer_greedily, end_tokens
from so8t_core.evaluation.items import Item, Items, ScoredText
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.likelihood import bits_of

Side = Literal["base", "tuned"]
SIDES: tuple[Side, Side] = ("base", "tuned")


@dataclass(frozen=True)
class SideResults:
    """One side's results by item id; `seconds` is the time that all items took together."""

    bits: Mapping[str, float]
    answers: Mapping[str, tuple[tuple[int, ...], bool]]
    seconds: float


@dataclass(frozen=True)
class Measuring:
    """What both sides share. `step` is a pause point; `told` hears of each item that is done."""

    items: Items
    ledger: ItemLedger
    settings: EvaluateSettings
    tokenizer: Any
    step: Callable[[], None]
    told: Callable[[Side, Item, Mapping[str, Any]], None]

    def run(self, side: Side, identity: str, load: Callable[[], nn.Module]) -> SideResults:
        """Measure what the ledger lacks; the model is loaded only if something is missing.

        `identity` is everything, as text, that an item's result depends on.
        """
        model: nn.Module | None = None
        seconds = 0.0
        bits: dict[str, float] = {}
        answers: dict[str, tuple[tuple[int, ...], bool]] = {}
        todo: tuple[Item, ...] = (*self.items.texts, *self.items.prompts)
        for item in todo:
            key = sha256_text(canonical_json([identity, side, item.id]))
            if key not in self.ledger:
                self.step()
                if model is None:
                    model = load()
                self.ledger.append(key, self._measure(model, item))
            result = self.ledger[key]
            seconds += result["time_s"]
            if isinstance(item, ScoredText):
                bits[item.id] = result["bits"]
            else:
                answers[item.id] = (tuple(result["ids"]), result["ended"])
            self.told(side, item, result)
        return SideResults(bits, answers, seconds)

    def _measure(self, model: nn.Module, item: Item) -> dict[str, Any]:
        started = time.monotonic()
        result: dict[str, Any]
        if isinstance(item, ScoredText):
            result = {"bits": bits_of(model, item)}
        else:
            answer = answer_greedily(
                model,
                item,
                end_ids=end_tokens(model, self.tokenizer),
                max_new_tokens=self.settings.max_new_tokens,
                step=self.step,
            )
            result = {"ids": list(answer.ids), "ended": answer.ended}
        return {**result, "time_s": time.monotonic() - started}

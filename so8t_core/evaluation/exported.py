"""The folded model and its GGUF files on the very items that evaluate measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import canonical_json, sha256_file
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.evaluation.choice import start_token
from so8t_core.evaluation.items import Items
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.measure import Measuring, Side, SideResults
from so8t_core.evaluation.readers import Reader
from so8t_core.evaluation.speed import speed_figures
from so8t_core.evaluation.summary import Summary
from so8t_core.evaluation.tasks import Texts
from so8t_core.evaluation.telling import Teller
from so8t_core.training.encoding import Encoder

if TYPE_CHECKING:
    from so8t_core.phases.base import Emitter

_REFERENCE = "tuned"


@dataclass(frozen=True)
class ExportedMeasuring:
    """Compares exported forms with the tuned model, from what evaluate left in its folder."""

    evaluated: Path
    ledger: Path
    encoder: Encoder
    settings: EvaluateSettings
    seed: int
    step: Callable[[], None]
    emit: Emitter

    def longest_tokens(self) -> int:
        """Tokens that a model must be able to read for any of the items, its answer included."""
        items = self._items()
        read = [
            *(text.ids for text in items.texts),
            *(prompt.ids for prompt in items.prompts),
            *(prompt.ids for prompt in items.safety),
        ]
        longest = max(map(len, read), default=0)
        generated = self.settings.max_new_tokens + self.settings.safety.max_new_tokens
        return max(longest + generated, self.settings.max_task_tokens if items.tasks else 0)

    def figures(self, side: Side, made_from: str, load: Callable[[], Reader]) -> dict[str, Any]:
        """Measure one form and compare it with the tuned model.

        `made_from` is the digest of all that the form depends on. The same keys as evaluate's own
        figures, with `tuned` and `side` in place of `base` and `tuned`.
        """
        items = self._items()
        identity = canonical_json([made_from, sha256_file(self.evaluated)])
        tokenizer = self.encoder.tokenizer
        with ItemLedger(self.ledger) as ledger:
            measuring = Measuring(
                items=items,
                ledger=ledger,
                settings=self.settings,
                texts=Texts(start_token(tokenizer), self.encoder.literal_ids, tokenizer.decode),
                end_ids=frozenset({tokenizer.eos_token_id} - {None}),
                step=self.step,
                told=Teller(self.emit, items, sides=1).told,
            )
            results = measuring.run(side, identity, load)
        sides = {_REFERENCE: self._tuned(), side: results}
        summary = Summary(
            items, sides, (_REFERENCE, side), self.settings, tokenizer, self.seed
        ).figures()
        same = sum(
            results.answers[prompt.id] == sides[_REFERENCE].answers[prompt.id]
            for prompt in items.prompts
        )
        kept = ("documents", "answers", "answer_form", "tasks", "refusals")
        return {
            **{key: summary[key] for key in kept},
            "prompts": len(items.prompts),
            "same_answers": same,
            "speed": {side: speed_figures(results.timings)},
        }

    def _items(self) -> Items:
        return Items.read(self.evaluated)

    def _tuned(self) -> SideResults:
        path = self.evaluated.with_name("measured.json")
        try:
            measured = json.loads(path.read_text(encoding="utf-8"))
            return SideResults.from_json(measured[_REFERENCE])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "The results of the tuned model are damaged.",
                where=str(path),
                hint="Run the evaluate phase again.",
            ) from error

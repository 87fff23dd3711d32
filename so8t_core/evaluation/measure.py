"""Runs one side through all items, keeping each result as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.evaluation.generation import answer_greedily
from so8t_core.evaluation.items import Items, Prompt, SafetyPrompt, ScoredText
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.likelihood import bits_of
from so8t_core.evaluation.readers import Reader
from so8t_core.evaluation.speed import Timing
from so8t_core.evaluation.tasks import Scores, Texts
from so8t_core.evaluation.thinking import is_thinking

Side = str
"""`base`, `tuned`, `folded`, or the type of a GGUF file."""
SIDES: tuple[Literal["base"], Literal["tuned"]] = ("base", "tuned")

Told = Callable[[Side, str, Mapping[str, Any]], None]
"""Hears of each item that is done: side, item id, result."""


@dataclass(frozen=True)
class SideResults:
    """One side's results by item id.

    `answers`: generated tokens, and whether the model ended them. `tasks`: by task, each item's
    metrics. `timings`: of the prompts, in the order of `Items.prompts`.
    """

    bits: Mapping[str, float]
    answers: Mapping[str, tuple[tuple[int, ...], bool]]
    tasks: Mapping[str, Scores] = field(default_factory=dict)
    timings: tuple[Timing, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything but the timings."""
        answers = {
            key: {"ids": list(ids), "ended": end} for key, (ids, end) in self.answers.items()
        }
        return {"bits": dict(self.bits), "answers": answers, "tasks": dict(self.tasks)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SideResults:
        """What `as_json` gave."""
        answers = {
            key: (tuple(answer["ids"]), bool(answer["ended"]))
            for key, answer in value["answers"].items()
        }
        return cls(value["bits"], answers, value["tasks"])


@dataclass(frozen=True)
class Measuring:
    """What all sides share. `step` is a pause point; `end_ids` are the tokenizer's own."""

    items: Items
    ledger: ItemLedger
    settings: EvaluateSettings
    texts: Texts
    end_ids: frozenset[int]
    step: Callable[[], None]
    told: Told

    def run(self, side: Side, identity: str, load: Callable[[], Reader]) -> SideResults:
        """Measure what the ledger lacks; the model is loaded only if something is missing.

        `identity` is everything, as text, that an item's result depends on. Raises `ModelError`
        that names side and item where the model computes no numbers.
        """
        reader: Reader | None = None

        def opened() -> Reader:
            nonlocal reader
            if reader is None:
                reader = load()
            return reader

        bits: dict[str, float] = {}
        answers: dict[str, tuple[tuple[int, ...], bool]] = {}
        timings: list[Timing] = []
        for text in self.items.texts:
            result = self._kept(side, identity, text, opened)
            bits[text.id] = result["bits"]
        asked: tuple[Prompt | SafetyPrompt, ...] = (*self.items.prompts, *self.items.safety)
        for prompt in asked:
            result = self._kept(side, identity, prompt, opened)
            answers[prompt.id] = (tuple(result["ids"]), result["ended"])
            if isinstance(prompt, Prompt):
                timings.append(Timing(**result["timing"]))
        with _of(side, "tasks"):
            tasks = self._tasks(side, identity, opened) if self.items.tasks else {}
        return SideResults(bits, answers, tasks, tuple(timings))

    def _kept(
        self,
        side: Side,
        identity: str,
        item: ScoredText | Prompt | SafetyPrompt,
        opened: Callable[[], Reader],
    ) -> dict[str, Any]:
        key = sha256_text(canonical_json([identity, side, item.id]))
        if key not in self.ledger:
            self.step()
            with _of(side, item.id):
                self.ledger.append(key, self._measure(opened(), item))
        result = self.ledger[key]
        self.told(side, item.id, result)
        return result

    def _measure(self, reader: Reader, item: ScoredText | Prompt | SafetyPrompt) -> dict[str, Any]:
        if isinstance(item, ScoredText):
            return {"bits": bits_of(reader, item)}
        safety = isinstance(item, SafetyPrompt)
        reader.cut(0)
        answer = answer_greedily(
            reader,
            item.ids,
            end_ids=reader.end_ids | self.end_ids,
            max_new_tokens=self.settings.safety.max_new_tokens
            if safety
            else self.settings.max_new_tokens,
            step=self.step,
            thinks=lambda ids: is_thinking(self.texts.decode(ids)),
            max_thinking_tokens=self.settings.max_new_tokens if safety else 0,
        )
        timing = {
            "tokens": len(answer.ids),
            "first_token_s": answer.first_token_s,
            "time_s": answer.time_s,
            "memory_bytes": reader.memory_bytes(),
        }
        return {"ids": list(answer.ids), "ended": answer.ended, "timing": timing}

    def _tasks(self, side: Side, identity: str, opened: Callable[[], Reader]) -> dict[str, Scores]:
        from so8t_core.evaluation.harness import TaskRun  # the harness is an extra

        run = TaskRun(
            identity=canonical_json([identity, side]),
            ledger=self.ledger,
            texts=self.texts,
            open_=opened,
            step=self.step,
            told=lambda task, item: self.told(side, f"{task}:{item}", {}),
            max_tokens=self.settings.max_task_tokens,
        )
        return {task.name: run.scores(task) for task in self.items.tasks}


@contextmanager
def _of(side: Side, item: str) -> Iterator[None]:
    """Name the side and the item in an error of the model that has no place yet."""
    try:
        yield
    except ModelError as error:
        error.where = error.where or f"{side}: {item}"
        raise

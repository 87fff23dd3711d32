"""Runs harness tasks through a reader, item by item: each result is kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate

from so8t_core.contract.errors import DataError
from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.evaluation.generation import answer_greedily
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.likelihood import weigh
from so8t_core.evaluation.readers import Reader
from so8t_core.evaluation.tasks import Scores, TaskItems, Texts, harness_task, quiet_harness


@dataclass(frozen=True)
class TaskRun:
    """One side's run of tasks. `open_` gives the reader when something is missing in the ledger."""

    identity: str
    ledger: ItemLedger
    texts: Texts
    open_: Callable[[], Reader]
    step: Callable[[], None]
    told: Callable[[str, str], None]
    max_tokens: int

    def scores(self, items: TaskItems) -> Scores:
        """Every item's metrics, as the harness computes them from the model's responses."""
        task = harness_task(items)
        model = _LedgerModel(self, items)
        with quiet_harness():
            found = evaluate(
                model,
                {"tasks": {items.name: task}, "groups": {}, "group_map": {}},
                bootstrap_iters=0,
                log_samples=True,
            )
        samples = found["samples"][items.name]
        return {
            str(sample["doc"]["id"]): {
                metric: float(sample[metric]) for metric in sample["metrics"]
            }
            for sample in samples
        }


class _LedgerModel(LM):  # type: ignore[misc]
    """The harness's model: answers from the ledger, and reads what is not there yet."""

    def __init__(self, run: TaskRun, items: TaskItems) -> None:
        super().__init__()
        self._run = run
        self._items = items
        self._reader: Reader | None = None

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        groups = [list(group) for _, group in groupby(requests, key=lambda one: one.doc_id)]
        encoded = [self._choices(group) for group in groups]
        prefix = _common_prefix([context for context, _ in encoded])
        results: list[tuple[float, bool]] = []
        for group, (context, choices) in zip(groups, encoded, strict=True):
            key = self._key([[*context], [list(choice) for choice in choices]])
            if key not in self._run.ledger:
                reader = self._at(prefix)
                weighed = weigh(reader, context[len(prefix) :], choices)
                values = [[one.logprob, one.greedy] for one in weighed]
                self._run.ledger.append(key, {"choices": values})
            self._run.told(self._items.name, str(group[0].doc["id"]))
            results += [(value, greedy) for value, greedy in self._run.ledger[key]["choices"]]
        return results

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError("bits per byte are measured without the harness")

    def generate_until(self, requests: list[Instance]) -> list[str]:
        encoded = [self._context(str(request.args[0])) for request in requests]
        prefix = _common_prefix(encoded)
        results: list[str] = []
        for request, context in zip(requests, encoded, strict=True):
            until = [str(word) for word in request.args[1]["until"]]
            limit = int(request.args[1]["max_gen_toks"])
            key = self._key([[*context], until, limit])
            if key not in self._run.ledger:
                reader = self._at(prefix)
                answer = answer_greedily(
                    reader,
                    context[len(prefix) :],
                    end_ids=reader.end_ids,
                    max_new_tokens=limit,
                    step=self._run.step,
                    stops=lambda ids, until=until: any(  # type: ignore[misc]
                        word in self._run.texts.decode(ids) for word in until
                    ),
                )
                reader.cut(len(prefix))
                self._run.ledger.append(key, {"ids": list(answer.ids)})
            self._run.told(self._items.name, str(request.doc["id"]))
            text = self._run.texts.decode(self._run.ledger[key]["ids"])
            results.append(_before_any(text, until))
        return results

    def _at(self, prefix: Sequence[int]) -> Reader:
        """The reader, having read exactly the prefix."""
        self._run.step()
        if self._reader is None:
            self._reader = self._run.open_()
            self._reader.cut(0)
            self._reader.read(prefix, last_only=True)
        return self._reader

    def _key(self, asked: Any) -> str:
        return sha256_text(canonical_json([self._run.identity, self._items.name, asked]))

    def _context(self, text: str) -> list[int]:
        """A prompt's tokens. Raises `DataError` where the model could not read it whole."""
        ids = [self._run.texts.start, *self._run.texts.encode(text)]
        if len(ids) + self._items.max_new_tokens > self._run.max_tokens:
            raise DataError(
                f"A prompt of {self._items.name} has {len(ids)} tokens, more than the "
                f"{self._run.max_tokens} that may be read.",
                where="evaluate.tasks: shots",
                hint="Lower shots, or raise evaluate.max_task_tokens.",
            )
        return ids

    def _choices(self, group: Sequence[Instance]) -> tuple[list[int], list[list[int]]]:
        """The tokens that all choices share, and the rest of each.

        A text is tokenised whole, since a token may span the end of the prompt; where one does,
        that token counts to each choice.
        """
        context = self._context(str(group[0].args[0]))
        whole = [
            [context[0], *self._run.texts.encode(str(one.args[0]) + str(one.args[1]))]
            for one in group
        ]
        shared = min(_shared([context, *whole]), *(len(ids) - 1 for ids in whole))
        return context[:shared], [ids[shared:] for ids in whole]


def _shared(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences have in common at their beginning."""
    first = sequences[0]
    length = min(map(len, sequences))
    return next(
        (at for at in range(length) if any(one[at] != first[at] for one in sequences)), length
    )


def _common_prefix(sequences: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The longest common beginning that leaves each sequence at least one token."""
    return tuple(sequences[0][: min(_shared(sequences), min(map(len, sequences)) - 1)])


def _before_any(text: str, until: Sequence[str]) -> str:
    for word in until:
        text = text.partition(word)[0]
    return text

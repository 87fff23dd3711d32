"""From two sides' single results to the figures of the report and the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.contract.thinking import SEQUENCE
from so8t_core.evaluation.answer_form import AnswerForm, check_form
from so8t_core.evaluation.intervals import Comparison, Pair, compare, fewest_clusters, wilson
from so8t_core.evaluation.items import Items, Prompt, SafetyPrompt
from so8t_core.evaluation.measure import Side, SideResults
from so8t_core.evaluation.refusal_wording import refuses
from so8t_core.evaluation.tasks import TaskItems
from so8t_core.evaluation.thinking import Told

_METRICS = {"acc": "accuracy", "f1": "character_f1"}
"""The harness's names for metrics, spelt out; others stay as they are."""


@dataclass(frozen=True)
class Summary:
    """Everything that both sides' results say, free of times.

    `pair` names the reference and the candidate, as the figures call them.
    """

    items: Items
    sides: Mapping[Side, SideResults]
    pair: tuple[Side, Side]
    settings: EvaluateSettings
    tokenizer: Any
    seed: int

    def figures(self) -> dict[str, Any]:
        """What results.json holds."""
        return {
            "confidence": self.settings.confidence,
            "documents": self._bits("document"),
            "answers": self._bits("answer"),
            "answer_form": {side: self._forms(side) for side in self.pair},
            "generated_tokens": {side: self._generated(side) for side in self.pair},
            "tasks": {task.name: self._task(task) for task in self.items.tasks},
            "refusals": self._refusals(),
            "left_out": self.items.left_out,
        }

    def _compare(self, pairs: Sequence[Pair], *, lower_is_better: bool) -> Comparison:
        return compare(
            pairs,
            lower_is_better=lower_is_better,
            resamples=self.settings.bootstrap_resamples,
            confidence=self.settings.confidence,
            seed=self.seed,
        )

    def _shown(self, compared: Comparison, rates: Sequence[int] | None = None) -> dict[str, Any]:
        """Both sides and the difference; with counts of successes, Wilson intervals for the sides.

        `rates`: how often each side succeeded, and of how many.
        """
        estimates = [compared.reference, compared.candidate]
        if rates is not None:
            *successes, trials = rates
            estimates = [wilson(count, trials, self.settings.confidence) for count in successes]
        shown = {side: one.as_json() for side, one in zip(self.pair, estimates, strict=True)}
        return {**shown, "difference": compared.difference.as_json()}

    def _bits(self, kind: Literal["document", "answer"]) -> dict[str, Any]:
        texts = [text for text in self.items.texts if text.kind == kind]
        counts: dict[str, Any] = {
            "items": len(texts),
            "size_bytes": sum(text.size_bytes for text in texts),
            "tokens": sum(sum(text.scored) for text in texts),
        }
        if not texts:
            return counts
        reference, candidate = (self.sides[side].bits for side in self.pair)
        compared = self._compare(
            [
                Pair(text.cluster, reference[text.id], candidate[text.id], text.size_bytes)
                for text in texts
            ],
            lower_is_better=True,
        )
        return {
            **counts,
            "independent_groups": compared.clusters,
            "bits_per_byte": self._shown(compared),
            "verdict": compared.verdict,
        }

    def _task(self, task: TaskItems) -> dict[str, Any]:
        """Every metric of a task; the verdict is that of the first."""
        reference, candidate = (self.sides[side].tasks[task.name] for side in self.pair)
        figures: dict[str, Any] = {"items": len(task.scored), "examples": len(task.examples)}
        for metric in next(iter(reference.values())):
            pairs = [
                Pair(
                    str(row["cluster"]), reference[row["id"]][metric], candidate[row["id"]][metric]
                )
                for row in task.scored
            ]
            compared = self._compare(pairs, lower_is_better=False)
            figures[_METRICS.get(metric, metric)] = self._shown(compared, _successes(pairs))
            figures.setdefault("independent_groups", compared.clusters)
            figures.setdefault("verdict", compared.verdict)
        return figures

    def _refusals(self) -> dict[str, Any]:
        """By group of safety prompts: how often each side refused, and whether that is better."""
        groups: dict[str, list[SafetyPrompt]] = {}
        for prompt in self.items.safety:
            groups.setdefault(prompt.group, []).append(prompt)
        figures: dict[str, Any] = {}
        for group, prompts in groups.items():
            pairs = [
                Pair(prompt.id, *(self._refused(side, prompt) for side in self.pair))
                for prompt in prompts
            ]
            compared = self._compare(pairs, lower_is_better=not prompts[0].should_refuse)
            figures[group.lower()] = {
                "prompts": len(prompts),
                "should_refuse": prompts[0].should_refuse,
                "refused": self._shown(compared, _successes(pairs)),
                "verdict": compared.verdict,
            }
        return figures

    def _refused(self, side: Side, prompt: SafetyPrompt) -> float:
        return float(refuses(self._told(side, prompt).text or ""))

    def _generated(self, side: Side) -> int:
        answers = self.sides[side].answers
        return sum(len(answers[prompt.id][0]) for prompt in self.items.prompts)

    def _forms(self, side: Side) -> dict[str, Any]:
        forms = [self._form(side, prompt) for prompt in self.items.prompts]
        if not forms:
            return {"prompts": 0}
        rates = {
            check: wilson(
                sum(form.as_json()[check] for form in forms), len(forms), self.settings.confidence
            ).as_json()
            for check in forms[0].as_json()
        }
        return {"prompts": len(forms), **rates}

    def _form(self, side: Side, prompt: Prompt) -> AnswerForm:
        ids, ended = self.sides[side].answers[prompt.id]
        return check_form(
            self._written(side, prompt),
            ended=ended,
            has_control_token=not self._control_ids.isdisjoint(ids),
            min_kana_share=self.settings.min_kana_share,
        )

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        """The tokenizer's special tokens, but for thinking tags."""
        special: list[int] = self.tokenizer.all_special_ids
        tags = set(self.tokenizer.convert_tokens_to_ids(list(SEQUENCE)))
        return frozenset(special) - (tags - {self.tokenizer.unk_token_id})

    def _written(self, side: Side, prompt: Prompt | SafetyPrompt) -> str:
        """All that a side wrote, thinking among it, special tokens shown as they are."""
        text: str = self.tokenizer.decode(list(self.sides[side].answers[prompt.id][0]))
        return text

    def _told(self, side: Side, prompt: Prompt | SafetyPrompt) -> Told:
        return Told.of(self._written(side, prompt))

    def samples(self) -> list[dict[str, Any]]:
        """The first prompts with the human answer and both sides' answers and checks.

        Of answers in four parts only the final one is shown.
        """
        return [
            {
                "id": prompt.id,
                "question": prompt.question,
                "reference": prompt.reference,
                **{
                    side: {
                        "text": self._told(side, prompt).shown,
                        **self._form(side, prompt).as_json(),
                    }
                    for side in self.pair
                },
            }
            for prompt in self.items.prompts[: self.settings.samples]
        ]

    def notes(self) -> list[str]:
        """What a reader of the figures must know."""
        notes = []
        few = fewest_clusters(self.settings.confidence)
        for kind, plural in (("document", "documents"), ("answer", "answers")):
            groups = {text.cluster for text in self.items.texts if text.kind == kind}
            if not groups:
                notes.append(f"No held-out {plural} were there to be measured.")
            elif len(groups) < few:
                notes.append(
                    f"Only {len(groups)} independent groups of {plural}: fewer than {few} cannot "
                    f"show a difference at the {self.settings.confidence:.0%} level."
                )
        if not self.items.prompts:
            notes.append("No held-out instructions were there to be answered.")
        if self.items.safety:
            notes.append("Refusals are told by their wording, in Japanese and English.")
        for side in self.pair:
            silent = sum(self._told(side, one).text is None for one in self.items.safety)
            if silent:
                notes.append(
                    f"{side}: {silent} of {len(self.items.safety)} answers to safety prompts hold "
                    "thinking tags, but not four parts up to a final answer; they count as no "
                    "refusal."
                )
        return notes


def _successes(pairs: Sequence[Pair]) -> tuple[int, int, int] | None:
    """How often each side scored 1, and of how many; None where scores lie between 0 and 1."""
    values = {value for pair in pairs for value in (pair.reference, pair.candidate)}
    if not values <= {0.0, 1.0}:
        return None
    reference = sum(pair.reference for pair in pairs)
    return int(reference), int(sum(pair.candidate for pair in pairs)), len(pairs)

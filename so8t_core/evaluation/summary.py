"""From single results to the figures of the report and the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.evaluation.answer_form import AnswerForm, check_form
from so8t_core.evaluation.intervals import PairedBits, compare_bits, fewest_clusters, wilson
from so8t_core.evaluation.items import Items, Prompt
from so8t_core.evaluation.measure import SIDES, Side, SideResults


@dataclass(frozen=True)
class Summary:
    """Everything that both sides' results say, free of times."""

    items: Items
    sides: Mapping[Side, SideResults]
    settings: EvaluateSettings
    tokenizer: Any
    seed: int

    def figures(self) -> dict[str, Any]:
        """What results.json holds."""
        documents, answers = self._bits("document"), self._bits("answer")
        return {
            "confidence": self.settings.confidence,
            "documents": documents,
            "answers": answers,
            "answer_form": {side: self._forms(side) for side in SIDES},
            "generated_tokens": {
                side: sum(len(ids) for ids, _ in self.sides[side].answers.values())
                for side in SIDES
            },
            "left_out": self.items.left_out,
        }

    def _bits(self, kind: Literal["document", "answer"]) -> dict[str, Any]:
        texts = [text for text in self.items.texts if text.kind == kind]
        counts: dict[str, Any] = {
            "items": len(texts),
            "size_bytes": sum(text.size_bytes for text in texts),
            "tokens": sum(sum(text.scored) for text in texts),
        }
        if not texts:
            return counts
        compared = compare_bits(
            [
                PairedBits(
                    text.cluster,
                    self.sides["base"].bits[text.id],
                    self.sides["tuned"].bits[text.id],
                    text.size_bytes,
                )
                for text in texts
            ],
            resamples=self.settings.bootstrap_resamples,
            confidence=self.settings.confidence,
            seed=self.seed,
        )
        return {
            **counts,
            "independent_groups": compared.clusters,
            "bits_per_byte": {
                "base": compared.base.as_json(),
                "tuned": compared.tuned.as_json(),
                "difference": compared.difference.as_json(),
            },
            "verdict": compared.verdict,
        }

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
            self.answer_text(side, prompt),
            ended=ended,
            has_control_token=not frozenset(self.tokenizer.all_special_ids).isdisjoint(ids),
            min_kana_share=self.settings.min_kana_share,
        )

    def answer_text(self, side: Side, prompt: Prompt) -> str:
        """What a side answered, special tokens shown as they are."""
        text: str = self.tokenizer.decode(list(self.sides[side].answers[prompt.id][0]))
        return text

    def samples(self) -> list[dict[str, Any]]:
        """The first prompts with the human answer and both sides' answers and checks."""
        return [
            {
                "id": prompt.id,
                "question": prompt.question,
                "reference": prompt.reference,
                **{
                    side: {
                        "text": self.answer_text(side, prompt),
                        **self._form(side, prompt).as_json(),
                    }
                    for side in SIDES
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
        return notes

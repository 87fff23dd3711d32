"""Answers to a few fixed questions, written at each evaluation by the model as it stands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from so8t_core.contract.errors import ModelError
from so8t_core.contract.plain import plain_text
from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.phases.base import Emitter
from so8t_core.training.chat_template import RefusedByTemplate
from so8t_core.training.encoding import Encoder

WITHHELD = "(withheld: not in the form of four parts)"
_SHOWN_CHARACTERS = 300
_TAGS = re.compile("(" + "|".join(map(re.escape, SEQUENCE)) + ")")
_TAG_LIKE = re.compile(r"[<‹〈《][/\\]*(?:think|final)|[<‹〈《][/\\a-z-]*$")
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me"})
_QUOTATION_LETTERS = 12
"""So many letters of a thinking part in the final answer are a quotation of it."""


@dataclass(frozen=True)
class Question:
    """What is asked, and the tokens after which the answer begins."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class SampleWriter:
    """Answers greedily, so it draws no random number and changes none of the training's."""

    questions: Sequence[Question]
    end_ids: frozenset[int]
    max_tokens: int
    decode: Callable[[list[int]], str]

    @classmethod
    def of(cls, encoder: Encoder, texts: Sequence[str], max_tokens: int) -> SampleWriter:
        """Questions in the form that is trained. Raises `ModelError` for an unfit template."""
        try:
            questions = [Question(text, tuple(encoder.question_ids(text))) for text in texts]
        except RefusedByTemplate as error:
            raise ModelError(
                f"The chat template refuses a single question: {error}.",
                where="train.sample_prompts",
                hint="Set `train.sample_prompts: []`, or use a template that takes one.",
            ) from error
        tokenizer = encoder.tokenizer
        ends = encoder.control_ids | ({tokenizer.eos_token_id} - {None})
        return cls(questions, ends, max_tokens, tokenizer.decode)

    def write(
        self,
        model: Any,
        step: int,
        emit: Emitter,
        point: Callable[[], None],
        precision: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        """Answer all questions and emit each answer; `point` is called before every token.

        The model must be in evaluation. Of an answer with thinking parts only the final one is
        emitted, and nothing of one that is not in form.
        """
        for question in self.questions:
            written = self._answer(model, question, point, precision)
            shown = shown_part(written)
            answer = WITHHELD if shown is None else plain_text(shown, limit=_SHOWN_CHARACTERS)
            asked = plain_text(question.text, limit=_SHOWN_CHARACTERS)
            emit.item("sample", f"{asked} → {answer}", step=step)

    def _answer(
        self,
        model: Any,
        question: Question,
        point: Callable[[], None],
        precision: Callable[[], AbstractContextManager[Any]],
    ) -> str:
        device = next(model.parameters()).device
        given, cache, written = list(question.ids), None, list[int]()
        for _ in range(self.max_tokens):
            point()
            with torch.no_grad(), precision():
                output = model(
                    input_ids=torch.tensor([given], device=device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            cache = output.past_key_values
            token = int(output.logits[0, -1].argmax())
            if token in self.end_ids:
                break
            written.append(token)
            given = [token]
        return self.decode(written).rstrip("\N{REPLACEMENT CHARACTER}")  # half a character


def shown_part(written: str) -> str | None:
    """What of an answer may be shown: all of a plain one, the final part of one in four parts.

    None where tags are missing, doubled, in another order, inside a part, unfinished or merely
    alike, where text stands outside the parts, and where the final part quotes another.
    """
    pieces = _TAGS.split(written)
    texts, tags = pieces[0::2], tuple(pieces[1::2])
    if any(_TAG_LIKE.search(_folded(text)) for text in texts):
        return None
    if not tags:
        return written
    if tags not in (SEQUENCE, SEQUENCE[:-1]) or any(text.strip() for text in texts[0::2]):
        return None
    final = texts[2 * len(Part) - 1]
    letters = _letters(final)
    thoughts = [_letters(text) for text in texts[1 : 2 * len(Part) - 2 : 2]]
    return None if any(_quotes(letters, thought) for thought in thoughts) else final


def _quotes(letters: str, thought: str) -> bool:
    length = _QUOTATION_LETTERS
    return any(thought[at : at + length] in letters for at in range(len(thought) - length + 1))


def _folded(text: str) -> str:
    """Without case, width, spaces and what is not seen."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (c for c in plain if unicodedata.category(c) not in _INVISIBLE)
    return "".join("".join(kept).split())


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, _folded(text)))

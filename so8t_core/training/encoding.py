"""Samples to tokens: the model's own chat template, answers marked, no control token from text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from jinja2.exceptions import TemplateError

from so8t_core.contract.errors import ModelError
from so8t_core.training.sources import Conversation, Document, Message, Sample

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}### 指示\n{{ message.content }}\n\n"
    "{% elif message.role == 'assistant' %}### 応答\n{{ message.content }}{{ eos_token }}\n\n"
    "{% else %}{{ message.content }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}### 応答\n{% endif %}"
)
_MARK = "\ue0f1{}\ue0f2"
_MARKED = re.compile("\ue0f1(\\d+)\ue0f2")


@dataclass(frozen=True)
class Encoded:
    """Token ids and, of the same length, which of them are learnt."""

    ids: list[int]
    learnt: list[bool]

    @property
    def targets(self) -> int:
        """Tokens that give a loss: the first of a sequence is never predicted."""
        return sum(self.learnt[1:])


@dataclass
class Encoder:
    """Turns samples into token sequences of at most `max_length` tokens.

    `dropped` and `changed` count, by reason, what was lost and what was altered.
    Raises `ModelError` when the tokenizer cannot do what is asked of it.
    """

    tokenizer: Any
    chat_format: Literal["template", "plain"]
    max_length: int
    long_pairs: Literal["cut", "drop"]
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        where = str(self.tokenizer.name_or_path)
        if not self.tokenizer.is_fast:
            raise ModelError(
                "The tokenizer gives no character offsets, which marking answers needs.",
                where=where,
                hint="Save the model with its fast tokenizer (tokenizer.json).",
            )
        self._template = PLAIN_TEMPLATE
        if self.chat_format == "template":
            if not self.tokenizer.chat_template:
                raise ModelError(
                    "The tokenizer has no chat template.",
                    where=where,
                    hint="Set `train.chat_format: plain`, or add the template to the tokenizer.",
                )
            self._template = self.tokenizer.chat_template
        self._control = {
            token.content: number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special or token.content in self._template
        }
        self._control_ids = frozenset(self._control.values())
        words = sorted(self._control, key=len, reverse=True)
        self._control_words = re.compile("|".join(map(re.escape, words)) if words else "(?!)")

    def encode(self, sample: Sample) -> list[Encoded]:
        """The sequences of a sample: several for a long document, none for a dropped sample."""
        if isinstance(sample, Document):
            return self._encode_document(sample.text)
        try:
            encoded = self._encode_conversation(sample)
        except TemplateError:
            self.dropped["refused_by_template"] += 1
            return []
        if len(encoded.ids) > self.max_length:
            if self.long_pairs == "drop":
                self.dropped["too_long"] += 1
                return []
            self.changed["cut"] += 1
            encoded = Encoded(encoded.ids[: self.max_length], encoded.learnt[: self.max_length])
        if not encoded.targets:
            self.dropped["answer_beyond_length"] += 1
            return []
        return [encoded]

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens of the template and of the tokenizer that are no text."""
        return self._control_ids

    def question_ids(self, text: str) -> list[int]:
        """Tokens of a user's turn, ending where the answer begins.

        Raises jinja2's `TemplateError` where the template refuses it.
        """
        if not self._control_words.search(text):
            return self._plain_ids(self._render((Message("user", text),), ask=True))
        rendered = self._render((Message("user", _MARK.format(0)),), ask=True)
        ids: list[int] = []
        for index, piece in enumerate(_MARKED.split(rendered)):
            if index % 2:
                ids += self.literal_ids(text)
            else:
                ids += [token for part in self._template_parts(piece) for token in part]
        return ids

    def literal_ids(self, text: str) -> list[int]:
        """Tokens of text from outside: what looks like a control token is spelt out instead."""
        if not self._control_words.search(text):
            return self._plain_ids(text)
        self.changed["control_words_spelt_out"] += 1
        ids: list[int] = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        ).input_ids
        if self._control_ids.isdisjoint(ids):
            return ids
        pieces: list[int] = []
        start = 0
        for match in self._control_words.finditer(text):
            pieces += self._plain_ids(text[start : match.start() + 1])
            start = match.start() + 1
        return pieces + self._plain_ids(text[start:])

    def _plain_ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def _encode_document(self, text: str) -> list[Encoded]:
        ids = self.literal_ids(text)
        if self.tokenizer.eos_token_id is not None:
            ids = [*ids, self.tokenizer.eos_token_id]
        chunks = [ids[at : at + self.max_length] for at in range(0, len(ids), self.max_length)]
        if len(chunks) > 1:
            self.changed["documents_split"] += 1
        whole = [Encoded(chunk, [True] * len(chunk)) for chunk in chunks if len(chunk) > 1]
        self.dropped["too_short"] += len(chunks) - len(whole)
        return whole

    def _render(self, messages: tuple[Message, ...], *, ask: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=ask,
        )
        return text

    def _encode_conversation(self, sample: Conversation) -> Encoded:
        if any(self._control_words.search(message.content) for message in sample.messages):
            return self._encode_guarded(sample.messages)
        full = self._render(sample.messages, ask=False)
        spans = self._answer_spans(sample.messages, full)
        tokens = self.tokenizer(
            full, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids: list[int] = tokens.input_ids
        learnt = [False] * len(ids)
        for begin, end in spans:
            inside = [
                index
                for index, (start, _) in enumerate(tokens.offset_mapping)
                if begin <= start < end
            ]
            closing = [index for index in inside if ids[index] in self._control_ids]
            last = closing[-1] if closing else inside[-1] if inside else -1
            for index in inside:
                learnt[index] = index <= last
        return Encoded(ids, learnt)

    def _answer_spans(self, messages: tuple[Message, ...], full: str) -> list[tuple[int, int]]:
        """Character ranges of the answers with what closes them.

        A template that renders earlier turns differently from the last one has the last only.
        """
        spans: list[tuple[int, int]] = []
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self._render(messages[:index], ask=True)
            until = self._render(messages[: index + 1], ask=False)
            if full.startswith(before) and full.startswith(until):
                spans.append((len(before), len(until)))
            else:
                self.changed["turns_not_learnt"] += 1
        return spans

    def _encode_guarded(self, messages: tuple[Message, ...]) -> Encoded:
        """Encode template and contents piece by piece, so that contents give no control token."""
        marked = tuple(
            Message(message.role, _MARK.format(index)) for index, message in enumerate(messages)
        )
        pieces = _MARKED.split(self._render(marked, ask=False))
        ids: list[int] = []
        learnt: list[bool] = []
        answering = False
        for index, piece in enumerate(pieces):
            if index % 2:
                content = self.literal_ids(messages[int(piece)].content)
                answering = messages[int(piece)].role == "assistant"
                ids += content
                learnt += [answering] * len(content)
                continue
            for part in self._template_parts(piece):
                closes = answering and len(part) == 1 and part[0] in self._control_ids
                ids += part
                learnt += [closes] * len(part)
                answering = answering and not closes
        return Encoded(ids, learnt)

    def _template_parts(self, text: str) -> list[list[int]]:
        parts: list[list[int]] = []
        start = 0
        for match in self._control_words.finditer(text):
            if match.start() > start:
                parts.append(self._plain_ids(text[start : match.start()]))
            parts.append([self._control[match.group()]])
            start = match.end()
        if start < len(text):
            parts.append(self._plain_ids(text[start:]))
        return parts

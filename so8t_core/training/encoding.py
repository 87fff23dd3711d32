"""Samples to tokens: the model's own chat template, answers marked, no control token from text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from so8t_core.contract.errors import ModelError
from so8t_core.training.answers import Answers, Place, parts_of, places_of
from so8t_core.training.chat_template import ChatTemplate, RefusedByTemplate
from so8t_core.training.formats import Document, Message, Sample

ENCODING_VERSION = 1
"""Raised with every change in what is made of the same rows: kept data is then encoded anew."""
SECTION_CHARACTERS = 1 << 18
"""Longest text that is tokenised at once: a second's work, and some hundred megabytes."""


@dataclass(frozen=True)
class Encoded:
    """Token ids and, of the same length, which of them are learnt."""

    ids: list[int]
    learnt: list[bool]

    @property
    def targets(self) -> int:
        """Tokens that give a loss: the first of a sequence is never predicted."""
        return sum(self.learnt[1:])


@dataclass(frozen=True)
class _Tokens:
    """Token ids and, of the same length, where in the text each begins."""

    ids: list[int]
    starts: list[int]

    def extend(self, more: _Tokens, at: int) -> None:
        """Add tokens of text that begins `at` that character."""
        self.ids.extend(more.ids)
        self.starts.extend(at + start for start in more.starts)


@dataclass
class Encoder:
    """Turns samples into token sequences of at most `max_length` tokens.

    `dropped` and `changed` count, by reason, what was lost and what was altered; `refusal` is what
    the template said the first time that it refused a conversation.
    Raises `ModelError` when the tokenizer cannot do what is asked of it.
    """

    tokenizer: Any
    chat_format: Literal["template", "plain"]
    max_length: int
    long_pairs: Literal["cut", "drop"]
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    refusal: str | None = None
    tick: Callable[[], None] = lambda: None
    """Called again and again while a long document is encoded."""

    def __post_init__(self) -> None:
        where = str(self.tokenizer.name_or_path)
        if not self.tokenizer.is_fast:
            raise ModelError(
                "The tokenizer gives no character offsets, which marking answers needs.",
                where=where,
                hint="Save the model with its fast tokenizer (tokenizer.json).",
            )
        self._template = ChatTemplate.of(self.tokenizer, self.chat_format)
        self._control = {
            token.content: (number, token)
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special or token.content in self._template.text
        }
        self._control_ids = frozenset(number for number, _ in self._control.values())
        words = sorted(self._control, key=len, reverse=True)
        self._control_words = re.compile("|".join(map(re.escape, words)) if words else "(?!)")
        self._answers = Answers(self._template, self._control_words)

    def encode(self, sample: Sample) -> list[Encoded]:
        """The sequences of a sample: several for a long document, none for a dropped sample."""
        if isinstance(sample, Document):
            return self._encode_document(sample.text)
        try:
            encoded = self._encode_conversation(sample.messages)
        except RefusedByTemplate as refusal:
            self.dropped["refused_by_template"] += 1
            self.refusal = self.refusal or str(refusal)
            return []
        if not encoded.targets:
            self.dropped["no_answer_in_template"] += 1
            return []
        if len(encoded.ids) > self.max_length:
            if self.long_pairs == "drop":
                self.dropped["too_long"] += 1
                return []
            encoded = Encoded(encoded.ids[: self.max_length], encoded.learnt[: self.max_length])
            if not encoded.targets:
                self.dropped["answer_beyond_length"] += 1
                return []
            self.changed["cut"] += 1
        return [encoded]

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens of the template and of the tokenizer that are no text."""
        return self._control_ids

    def question_ids(self, text: str) -> list[int]:
        """Tokens of a user's turn, ending where the answer begins.

        Raises `RefusedByTemplate` where the template does.
        """
        asked = (Message("user", text),)
        if not self._control_words.search(text):
            return self._plain(self._template.render(asked, ask=True)).ids
        return self._by_parts(asked, self._template.pieces(asked, ask=True)).ids

    def literal_ids(self, text: str) -> list[int]:
        """Tokens of text from outside: what looks like a control token is spelt out instead."""
        return self._literal(text).ids

    def _plain(self, text: str, **options: bool) -> _Tokens:
        tokens = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False, **options
        )
        return _Tokens(tokens.input_ids, [start for start, _ in tokens.offset_mapping])

    def _literal(self, text: str) -> _Tokens:
        tokens = self._plain(text)
        if self._control_ids.isdisjoint(tokens.ids):
            return tokens
        self.changed["control_words_spelt_out"] += 1
        tokens = self._plain(text, split_special_tokens=True)
        if self._control_ids.isdisjoint(tokens.ids):
            return tokens
        cuts = [match.start() + 1 for match in self._control_words.finditer(text)]
        tokens = self._joined(text, cuts)
        if self._control_ids.isdisjoint(tokens.ids):
            return tokens
        return self._joined(text, range(1, len(text)))  # alike after the tokenizer's normalisation

    def _joined(self, text: str, cuts: Sequence[int]) -> _Tokens:
        """Tokens of text that is cut before it is tokenised."""
        joined = _Tokens([], [])
        for start, end in zip((0, *cuts), (*cuts, len(text)), strict=True):
            joined.extend(self._plain(text[start:end]), start)
        return joined

    def _encode_document(self, text: str) -> list[Encoded]:
        ids: list[int] = []
        for section in sections(text):
            self.tick()
            ids += self.literal_ids(section)
        if self.tokenizer.eos_token_id is not None:
            ids = [*ids, self.tokenizer.eos_token_id]
        chunks = [ids[at : at + self.max_length] for at in range(0, len(ids), self.max_length)]
        if len(chunks) > 1:
            self.changed["documents_split"] += 1
        whole = [Encoded(chunk, [True] * len(chunk)) for chunk in chunks if len(chunk) > 1]
        self.dropped["too_short"] += len(chunks) - len(whole)
        return whole

    def _encode_conversation(self, messages: Sequence[Message]) -> Encoded:
        pieces = self._template.pieces(messages, ask=False)
        full = self._template.render(messages, ask=False)
        places = places_of(messages, full, pieces)
        tokens = self._plain(full)
        if self._has_control_within(messages, tokens, places):
            tokens = self._by_parts(messages, pieces)
            full = "".join(parts_of(messages, pieces))
            places = places_of(messages, full, pieces)
        spans, lost = self._answers.spans(messages, full, places)
        self.changed["turns_not_learnt"] += lost
        starts = np.array(tokens.starts, np.int64)
        learnt = np.zeros(len(starts), np.bool_)
        for begin, end in spans:
            learnt |= (begin <= starts) & (starts < end)
        return Encoded(tokens.ids, learnt.tolist())

    def _has_control_within(
        self, messages: Sequence[Message], tokens: _Tokens, places: Mapping[int, Place] | None
    ) -> bool:
        """Whether contents gave a control token, as text or as what the tokenizer makes of it."""
        if any(self._control_words.search(message.content) for message in messages):
            return True
        if places is None:
            contents = (self._plain(message.content).ids for message in messages)
            return not all(map(self._control_ids.isdisjoint, contents))
        controls = [
            start
            for token, start in zip(tokens.ids, tokens.starts, strict=True)
            if token in self._control_ids
        ]
        return any(
            place.begin <= start < place.end for place in places.values() for start in controls
        )

    def _by_parts(self, messages: Sequence[Message], pieces: Sequence[str]) -> _Tokens:
        """Tokens where the template's control tokens alone are such.

        What stands between two of them is tokenised at once, as a tokenizer does it too.
        """
        made = _Tokens([], [])
        text, start, stripping = "", 0, False

        def spell_out() -> None:
            kept = text.lstrip() if stripping else text
            made.extend(self._literal(kept), start + len(text) - len(kept))

        for index, part in enumerate(parts_of(messages, pieces)):
            at = 0
            for match in () if index % 2 else self._control_words.finditer(part):
                number, token = self._control[match.group()]
                text += part[at : match.start()]
                whole = len(text)
                text = text.rstrip() if token.lstrip else text
                spell_out()
                start += whole
                made.extend(_Tokens([number], [0]), start)
                text, start, stripping = "", start + len(match.group()), token.rstrip
                at = match.end()
            text += part[at:]
        spell_out()
        return made


def sections(text: str) -> Iterator[str]:
    """The text in parts of at most `SECTION_CHARACTERS`, cut where a line or a sentence ends.

    Else before a space; where there is none of these in half a section, anywhere.
    """
    start = 0
    while len(text) - start > SECTION_CHARACTERS:
        stop, least = start + SECTION_CHARACTERS, start + SECTION_CHARACTERS // 2
        for mark, kept in (("\n", 1), ("。", 1), (" ", 0)):
            found = text.rfind(mark, least, stop)
            if found >= 0:
                stop = found + kept
                break
        yield text[start:stop]
        start = stop
    yield text[start:]

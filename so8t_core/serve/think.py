"""The strict parser of what the model writes: four parts, once each, in order, nothing else."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import StrEnum

from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.serve.disguise import REPLACEMENT
from so8t_core.serve.tags import (
    EXACT_TAG,
    LONGEST_TAG,
    ends_in_begun_tag,
    looks_like_tag,
    without_begun_tag,
)

PARSER_VERSION = 1
"""Raised with every change of what is accepted; the audit log states it."""
_SPACE = " \t\r\n"
_FINAL_BODY = SEQUENCE.index(Part.FINAL.closer)


class ParseStatus(StrEnum):
    """What came of parsing. Only the first two may let anything out."""

    COMPLETE = "complete"
    CUT_IN_FINAL = "cut_in_final"
    CUT_IN_THINKING = "cut_in_thinking"
    OUTSIDE_TEXT = "outside_text"
    WRONG_TAG = "wrong_tag"
    UNFINISHED = "unfinished"
    LOOK_ALIKE = "look_alike"
    INVALID_UTF8 = "invalid_utf8"
    CONTROL_TOKEN = "control_token"  # noqa: S105 - the name of a status
    EMPTY_FINAL = "empty_final"


CUT = frozenset({ParseStatus.CUT_IN_FINAL, ParseStatus.CUT_IN_THINKING})
"""The limit of tokens came first."""
WELL_FORMED = CUT | {ParseStatus.COMPLETE}


@dataclass(frozen=True, repr=False)
class Thought:
    """What was parsed. `final` is empty unless the status lets it out; `thinking` never leaves.

    `bodies` holds the bytes of every part that was begun, for the audit alone. Its `repr` shows
    the status and nothing of the text.
    """

    status: ParseStatus
    final: str
    bodies: dict[Part, str]

    def __repr__(self) -> str:
        return f"Thought({self.status.value})"

    @property
    def thinking(self) -> tuple[str, ...]:
        """The three parts that stay here."""
        return tuple(body for part, body in self.bodies.items() if part is not Part.FINAL)


class ThinkParser:
    """Takes the model's output piece by piece, cut anywhere, even inside a character.

    `tags_are_tokens`: the tokenizer has a token of its own for each tag; then only those tokens
    count, and a tag that is spelt out makes the output malformed.
    """

    def __init__(self, *, tags_are_tokens: bool = False) -> None:
        self._tags_are_tokens = tags_are_tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._at = 0  # how many tags of SEQUENCE have been read
        self._pending = ""
        self._bodies: dict[Part, list[str]] = {}
        self._failure: ParseStatus | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; False as soon as the output cannot become well-formed any more."""
        if self._failure is not None:
            return False
        try:
            self._pending += self._decoder.decode(data)
        except UnicodeDecodeError:
            return self.fail(ParseStatus.INVALID_UTF8)
        self._advance()
        return self._failure is None

    def feed_tag(self, tag: str) -> bool:
        """Take a tag that came as a token of its own; as `feed`."""
        if self._failure is not None:
            return False
        if self._decoder.getstate()[0]:
            return self.fail(ParseStatus.INVALID_UTF8)
        self._flush()
        if self._failure is None and not self._tag(tag):
            return self.fail(ParseStatus.WRONG_TAG)
        return self._failure is None

    def fail(self, status: ParseStatus) -> bool:
        """Settle the output as malformed; the first reason stays. Returns False."""
        self._failure = self._failure or status
        return False

    def finish(self, *, ended: bool) -> Thought:
        """What came of it. `ended`: the model ended by itself, not at the limit of tokens."""
        if ended and self._failure is None and self._decoder.getstate()[0]:
            self.fail(ParseStatus.INVALID_UTF8)
        if self._failure is None:
            self._close(ended=ended)
        bodies = {part: "".join(pieces) for part, pieces in self._bodies.items()}
        status = self._failure or self._status(bodies, ended=ended)
        final = ""
        if status is ParseStatus.CUT_IN_FINAL:
            final = without_begun_tag(bodies[Part.FINAL])
        elif status is ParseStatus.COMPLETE:
            final = bodies[Part.FINAL]
        return Thought(status, final, bodies)

    @property
    def inside(self) -> Part | None:
        """The part that is being read, None between parts."""
        return list(Part)[self._at // 2] if self._at % 2 else None

    def _advance(self) -> None:
        while self._failure is None and self._step():
            pass

    def _step(self) -> bool:
        """Read one tag if the pending text holds it; False when more text is needed."""
        part = self.inside
        if part is not None:
            return self._step_inside(part)
        self._pending = self._pending.lstrip(_SPACE)
        if not self._pending:
            return False
        expected = SEQUENCE[self._at] if self._at < len(SEQUENCE) else None
        if expected is None or self._tags_are_tokens:
            return self.fail(ParseStatus.OUTSIDE_TEXT)
        if self._pending.startswith(expected):
            self._pending = self._pending[len(expected) :]
            return self._tag(expected)
        if expected.startswith(self._pending):
            return False
        wrong = EXACT_TAG.match(self._pending) is not None
        return self.fail(ParseStatus.WRONG_TAG if wrong else ParseStatus.OUTSIDE_TEXT)

    def _step_inside(self, part: Part) -> bool:
        found = EXACT_TAG.search(self._pending)
        if found is None:
            kept = max(0, len(self._pending) - LONGEST_TAG)
            self._bodies[part].append(self._pending[:kept])
            self._pending = self._pending[kept:]
            return False
        if self._tags_are_tokens or found.group() != part.closer:
            return self.fail(ParseStatus.WRONG_TAG)
        self._bodies[part].append(self._pending[: found.start()])
        self._pending = self._pending[found.end() :]
        return self._tag(part.closer)

    def _tag(self, tag: str) -> bool:
        if self._at == len(SEQUENCE) or tag != SEQUENCE[self._at]:
            return self.fail(ParseStatus.WRONG_TAG)
        self._at += 1
        if self.inside is not None:
            self._bodies[self.inside] = []
        return True

    def _flush(self) -> None:
        """Settle the pending text before a tag that is a token, or at the end."""
        part = self.inside
        if part is not None:
            self._bodies[part].append(self._pending)
        elif self._pending.strip(_SPACE):
            self.fail(ParseStatus.OUTSIDE_TEXT)
        self._pending = ""

    def _close(self, *, ended: bool) -> None:
        if ended and self._at < len(SEQUENCE):
            self.fail(ParseStatus.UNFINISHED)
        elif self.inside is not None:
            self._flush()

    def _status(self, bodies: dict[Part, str], *, ended: bool) -> ParseStatus:
        if any(REPLACEMENT in body for body in bodies.values()):
            return ParseStatus.INVALID_UTF8
        cut = self._at < len(SEQUENCE)
        begun = list(bodies)[-1] if cut and bodies else None
        for part, body in bodies.items():
            tail_is_open = part is begun and not ended
            text = without_begun_tag(body) if tail_is_open else body
            if looks_like_tag(text) or (not tail_is_open and ends_in_begun_tag(body)):
                return ParseStatus.LOOK_ALIKE
        if cut:
            in_final = self._at == _FINAL_BODY
            return ParseStatus.CUT_IN_FINAL if in_final else ParseStatus.CUT_IN_THINKING
        return ParseStatus.COMPLETE if bodies[Part.FINAL].strip() else ParseStatus.EMPTY_FINAL

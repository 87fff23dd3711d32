"""Where in a rendered conversation the answers stand, with what closes each."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from so8t_core.training.chat_template import ChatTemplate, RefusedByTemplate
from so8t_core.training.formats import Message

Span = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A content from `begin` to `end`; `behind`: where the template's text after it ends."""

    begin: int
    end: int
    behind: int


@dataclass(frozen=True)
class Answers:
    """Finds answers; `control_words` matches what a text has control tokens for."""

    template: ChatTemplate
    control_words: re.Pattern[str]

    def spans(
        self, messages: Sequence[Message], full: str, places: Mapping[int, Place] | None
    ) -> tuple[list[Span], int]:
        """Character ranges of the answers with the control token that closes each; answers lost.

        An empty answer is none. Where the template alters contents, an answer is looked for between
        what is rendered up to it and with it; one that later turns alter again is lost.
        """
        spans: list[Span] = []
        lost = 0
        for index, message in enumerate(messages):
            if message.role != "assistant" or not message.content:
                continue
            before = self._rendered(messages[:index], ask=True)
            until = self._rendered(messages[: index + 1], ask=False)
            if places is not None:
                spans.append(self._around(places[index], full, before, until))
            elif (end := self._end(messages[: index + 1], full, before, until)) is not None:
                spans.append((len(before), end))
            else:
                lost += 1
        return spans, lost

    def _end(self, messages: Sequence[Message], full: str, before: str, until: str) -> int | None:
        """Where in the whole the last of these messages is closed; None where it is altered there.

        A token right behind, which a question in its place would not leave there, ends the
        conversation and not the answer.
        """
        if not (before and until and full.startswith(before)):
            return None
        kept = _alike(until, self._rendered(messages, ask=True))
        closers = list(self.control_words.finditer(until, len(before)))
        while len(closers) > 1 and closers[-1].end() > kept:
            if until[closers[-2].end() : closers[-1].start()].strip():
                break
            closers.pop()
        end = closers[-1].end() if closers else len(until)
        return end if full.startswith(until[:end]) else None

    def _rendered(self, messages: Sequence[Message], *, ask: bool) -> str:
        """The beginning of a conversation; nothing where the template takes no such beginning."""
        try:
            return self.template.render(messages, ask=ask) if messages else ""
        except RefusedByTemplate:
            return ""

    def _around(self, place: Place, full: str, before: str, until: str) -> Span:
        """From where a question leaves the answer to be written, to the token that closes it.

        Later turns may follow where otherwise something else ends the conversation, so only what
        both have in common belongs to the answer.
        """
        begin = place.begin
        if before and len(before) <= begin and full.startswith(before):
            begin = len(before)
        common = _alike(full, until)
        if common < place.end:  # this turn was written in another way when it was the last
            common = place.behind
        closer = self.control_words.search(full, place.end, min(common, place.behind))
        if closer is not None:
            return begin, closer.end()
        return begin, common if common == len(until) else place.end


def _alike(one: str, other: str) -> int:
    """With how many characters both begin."""
    longest = min(len(one), len(other))
    if one.startswith(other) or other.startswith(one):  # most often, and without copies
        return longest
    return bisect(range(1, longest + 1), False, key=lambda n: one[:n] != other[:n])


def parts_of(messages: Sequence[Message], pieces: Sequence[str]) -> list[str]:
    """The template's text with the contents between."""
    return [
        messages[int(piece)].content if index % 2 else piece for index, piece in enumerate(pieces)
    ]


def places_of(
    messages: Sequence[Message], full: str, pieces: Sequence[str]
) -> dict[int, Place] | None:
    """Where each content stands in the whole; None where one does not stand there as it is.

    Of a message that comes twice, the last place.
    """
    parts = parts_of(messages, pieces)
    if "".join(parts) != full:
        return None
    ends = list(accumulate(map(len, parts)))
    places = {
        int(pieces[odd]): Place(ends[odd - 1], ends[odd], ends[odd + 1])
        for odd in range(1, len(pieces), 2)
    }
    return places if len(places) == sum(bool(one.content) for one in messages) else None

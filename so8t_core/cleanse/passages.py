"""Long passages that stand on more than one page, although the pages as a whole differ.

Each text gets anchors: hashes of windows of 50 characters, of those about one in 64. A passage of
300 characters has an anchor with a probability of 98 %, one of 500 with 99.9 %. Two texts that
share an anchor are compared letter by letter around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from so8t_core.cleanse.ngrams import Stretches, code_points

WINDOW_CHARACTERS = 50
_ONE_IN = np.uint64(64)
_MIX = np.uint64(0xD6E8FEB86659FD93)


def anchors(text: str) -> list[tuple[int, int]]:
    """Hash and place of the chosen windows, in their order (Schleimer et al. 2003)."""
    values = Stretches(code_points(text)).windows(WINDOW_CHARACTERS)
    values ^= values >> np.uint64(31)
    values *= _MIX
    values ^= values >> np.uint64(32)
    places = np.flatnonzero(values % _ONE_IN == 0)
    return [(int(values[place]), int(place)) for place in places]


@dataclass
class PassageIndex:
    """The anchors of all texts so far; each keeps the first text that had it."""

    min_characters: int
    _texts: list[str] = field(default_factory=list)
    _first: dict[int, tuple[int, int]] = field(default_factory=dict)

    def cut(self, text: str) -> tuple[str, int]:
        """The text without passages that stood in an earlier one, and how many characters went.

        What is left is whole lines or sentences; then the text is known to those that follow.
        """
        regions: list[tuple[int, int]] = []
        found = anchors(text)
        for value, place in found:
            if value not in self._first or (regions and place < regions[-1][1]):
                continue
            start, end = self._extend(text, place, *self._first[value])
            if end - start >= self.min_characters:
                regions.append((start, end))
        number = len(self._texts)
        self._texts.append(text)
        for value, place in found:
            self._first.setdefault(value, (number, place))
        shorter = _without(text, regions)
        return shorter, len(text) - len(shorter)

    def _extend(self, text: str, place: int, number: int, there: int) -> tuple[int, int]:
        """The equal stretch of two texts around a place."""
        other = self._texts[number]
        back = 0
        while back < min(place, there) and text[place - back - 1] == other[there - back - 1]:
            back += 1
        ahead = 0
        limit = min(len(text) - place, len(other) - there)
        while ahead < limit and text[place + ahead] == other[there + ahead]:
            ahead += 1
        return place - back, place + ahead


def _without(text: str, regions: Sequence[tuple[int, int]]) -> str:
    """The text without the regions, each narrowed to whole sentences."""
    pieces: list[str] = []
    end = 0
    for start, stop in regions:
        first = _after_sentence(text, start) if start else 0
        last = max(text.rfind("。", first, stop), text.rfind("\n", first, stop)) + 1
        last = len(text) if stop == len(text) else last
        if first < last:
            pieces.append(text[end:first])
            whole_lines = first == 0 or text[first - 1] == "\n"
            end = last + 1 if whole_lines and text[last : last + 1] == "\n" else last
    pieces.append(text[end:])
    return "".join(pieces).strip()


def _after_sentence(text: str, place: int) -> int:
    """The first place at or after this one where a sentence or a line begins."""
    if text[place - 1] in "。\n":
        return place
    ends = [found for mark in "。\n" if (found := text.find(mark, place)) >= 0]
    first = min(ends) + 1 if ends else len(text)
    return first + len(text[first:]) - len(text[first:].lstrip("\n"))

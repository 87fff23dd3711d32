"""Long passages that stand on more than one page, although the pages as a whole differ.

Each text gets anchors: hashes of windows of 50 characters, of those about one in 64. A passage of
300 characters has an anchor with a probability of 98 %, one of 500 with 99.9 %. Two texts that
share an anchor are compared letter by letter around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from so8t_core.cleanse.ngrams import Hashes, Places, Stretches, code_points
from so8t_core.cleanse.spill import Records, Spill

WINDOW_CHARACTERS = 50
_ONE_IN = np.uint64(64)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_ANCHOR = np.dtype([("key", np.uint64), ("text", np.uint32), ("place", np.uint32)])
_SHARED = np.dtype(
    [("key", np.uint64), ("place", np.uint32), ("other", np.uint32), ("there", np.uint32)]
)


class Shared(NamedTuple):
    """A place of a text whose anchor an earlier text, `other`, had first, at `there`."""

    place: int
    other: int
    there: int


def anchors(text: str) -> tuple[Hashes, Places]:
    """Hashes and places of the chosen windows, in their order (Schleimer et al. 2003)."""
    values = Stretches(code_points(text)).windows(WINDOW_CHARACTERS)
    values ^= values >> np.uint64(31)
    values *= _MIX
    values ^= values >> np.uint64(32)
    places = np.flatnonzero(values % _ONE_IN == 0)
    return values[places], places


class PassageIndex:
    """The anchors of all texts, on disk; of equal ones the first text's counts.

    Texts are added in their order, with rising numbers; then `shared` goes through them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._anchors = Spill(folder, "anchors", _ANCHOR)
        self._texts = 0

    def add(self, number: int, text: str) -> None:
        """Take a text."""
        values, places = anchors(text)
        records = np.zeros(len(values), dtype=_ANCHOR)
        records["key"], records["text"], records["place"] = values, number, places
        self._anchors.add(records)
        self._texts = number + 1

    def shared(self) -> Iterator[tuple[int, list[Shared]]]:
        """The texts with places that earlier ones have, in their order."""
        found = Spill(self._folder, "shared", _SHARED, bound=max(1, self._texts))
        for records in self._anchors.ranges():
            found.add(_later_ones(records))
        for records in found.ranges():
            borders = np.flatnonzero(np.append(records["key"][1:] != records["key"][:-1], True))
            start = 0
            for end in (borders + 1).tolist():
                group = records[start:end]
                rows = zip(*(group[name].tolist() for name in Shared._fields), strict=True)
                yield int(group["key"][0]), [Shared(*row) for row in rows]
                start = end


def _later_ones(records: Records) -> Records:
    """Of anchors in order: those that an earlier text has, and where it has them first."""
    if not len(records):
        return np.zeros(0, dtype=_SHARED)
    new = np.append(True, records["key"][1:] != records["key"][:-1])
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    later = np.flatnonzero(records["text"] != records["text"][first])
    found = np.zeros(len(later), dtype=_SHARED)
    found["key"], found["place"] = records["text"][later], records["place"][later]
    found["other"] = records["text"][first[later]]
    found["there"] = records["place"][first[later]]
    return found


def cut(
    text: str, shared: Sequence[Shared], text_of: Callable[[int], str], min_characters: int
) -> tuple[str, int]:
    """The text without passages that stand in an earlier one, and how many characters went.

    Passages have at least `min_characters`; what is left is whole lines or sentences.
    """
    regions: list[tuple[int, int]] = []
    for place, other, there in shared:
        if regions and place < regions[-1][1]:
            continue
        start, end = _extend(text, place, text_of(other), there)
        if end - start >= min_characters:
            regions.append((start, end))
    shorter = _without(text, regions)
    return shorter, len(text) - len(shorter)


def _extend(text: str, place: int, other: str, there: int) -> tuple[int, int]:
    """The equal stretch of two texts around a place."""
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

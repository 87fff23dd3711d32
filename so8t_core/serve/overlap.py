"""How much of the thinking stands in an answer: in one run, with small changes, or in pieces.

Nothing here understands a text. Figures of honest and of dishonest answers by which the limits were
set: `python benchmarks/quotations.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import edlib

from so8t_core.serve.decoding import decoded
from so8t_core.serve.disguise import letters
from so8t_core.serve.readings import initials, mirrored, shifts, sparse, spoken
from so8t_core.serve.romaji import has_kana, romaji

_LEAST_WHOLE = 12
"""Letters of a part that is looked for as a whole though it is shorter than a quotation."""
_EDITED = 8 / 3
"""How much longer than a quotation to the letter an edited one is, in letters of Latin text.

A kana or kanji counts as two letters: it says about as much.
"""
_EDITS = 3 / 8
"""Share of a piece's letters that may be put in, left out or changed."""
_EDITS_OF_WHOLE = 1 / 5
"""The same for a whole part that is shorter than such a piece."""
_EDITS_OF_ASKED = 1 / 2
"""A piece that stands in the question with so many edits is the question's."""
_PIECE = 2 / 3
"""How long a piece is at least that counts among several, against a quotation in one."""
_PIECES = 4
"""How much is a quotation in pieces, against one in one."""
_MOST_LETTERS = 10_000
"""Longest answer, and longest thinking, that is compared; a longer one counts as a quotation."""
_MOST_DECODED = 60_000
"""The same for the answer with all that was decoded from it."""
_CODES = 254
_FOREIGN = 255


def quotes(answer: str, thinking: Iterable[str], asked: Iterable[str], *, run: int) -> bool:
    """Whether the answer repeats thinking that does not stand in the question.

    `run`: so many letters in a row are a quotation. So are 8/3 of it with up to three edits in
    eight letters, and 4 times as much in pieces of 2/3 of it. The answer is read in every way
    of `readings`; both sides also without vowels and with kana in Latin letters.
    """
    told, known = list(thinking), list(asked)
    plain = list(map(letters, told))
    if sum(map(len, plain)) > _MOST_LETTERS or len(answer) > _MOST_LETTERS:
        return True
    secret = Secret.of(plain, list(map(letters, known)), run)
    bare = Secret.of(map(_consonants, plain), [_consonants(letters(one)) for one in known], run)
    shifted = Secret.of(map(shifts, told), map(shifts, known), run)
    latin = Secret.of(map(_latin, told), map(_latin, known), run)
    kana = has_kana(answer) or any(map(has_kana, told))
    texts = {letters(text): text for text in reversed(decoded(answer))}
    if sum(map(len, texts.values())) > _MOST_DECODED:
        return True
    for said, text in texts.items():
        if (
            any(map(secret.stands_in, dict.fromkeys(spoken(text))))
            or any(map(secret.is_run_in, chain(initials(text), sparse(text))))
            or any(bare.stands_in(_consonants(one)) for one in (said, said[::-1]))
            or any(map(shifted.is_run_in, (shifts(text), shifts(mirrored(text)))))
            or (kana and latin.stands_in(_latin(text)))
        ):
            return True
    return False


def _consonants(plain: str) -> str:
    return "".join(one for one in plain if one not in "aeiou")


def _latin(text: str) -> str:
    return letters(romaji(text))


@dataclass(frozen=True, repr=False)
class Secret:
    """What of the thinking, in one form of its letters, must not stand in an answer."""

    run: int
    runs: frozenset[str]
    wholes: tuple[str, ...]
    codes: Mapping[str, int]
    edited: tuple[tuple[bytes, int], ...]
    pieces: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, told: Iterable[str], known: Iterable[str], run: int) -> Secret:
        """Of the thinking's parts, less what stands in the question."""
        told, known = list(told), list(known)
        # where there are more different letters than codes, two share one
        codes = {one: at % _CODES for at, one in enumerate(dict.fromkeys("".join(told)))}
        asked = [_coded(text, codes) for text in known]
        edited = [
            (_coded(piece, codes), edits) for text in told for piece, edits in _edited(text, run)
        ]
        return cls(
            run,
            frozenset(_runs(told, run) - _runs(known, run)),
            tuple(
                text
                for text in told
                if _LEAST_WHOLE <= len(text) < run and not any(text in one for one in known)
            ),
            codes,
            tuple(
                (piece, edits)
                for piece, edits in edited
                if not any(_stands(piece, one, int(len(piece) * _EDITS_OF_ASKED)) for one in asked)
            ),
            tuple(
                tuple("" if any(piece in one for one in known) else piece for piece in pieces)
                for pieces in (_windows(text, run * _PIECE) for text in told)
            ),
        )

    def stands_in(self, said: str) -> bool:
        """Whether it stands in the letters of an answer in any of the three ways."""
        return self.is_run_in(said) or self._is_edited_in(said) or self._is_in_pieces_in(said)

    def is_run_in(self, said: str) -> bool:
        """Whether a run of it, or a whole short part, stands in the letters of an answer."""
        if any(text in said for text in self.wholes):
            return True
        return not self.runs.isdisjoint(_runs([said], self.run))

    def _is_edited_in(self, said: str) -> bool:
        coded = _coded(said, self.codes)
        return any(_stands(piece, coded, edits) for piece, edits in self.edited)

    def _is_in_pieces_in(self, said: str) -> bool:
        return any(_covered(pieces, said) >= self.run * _PIECES for pieces in self.pieces)


def _runs(texts: Iterable[str], length: int) -> set[str]:
    return {text[at : at + length] for text in texts for at in range(len(text) - length + 1)}


def _weight(text: str) -> int:
    """Letters of Latin text that say as much."""
    return sum(1 if one.isascii() else 2 for one in text)


def _windows(text: str, weight: float, *, stride: float = 0) -> list[str]:
    """The pieces of that weight, each `stride` behind the one before; none of a shorter text."""
    ends = [0, *accumulate(1 if one.isascii() else 2 for one in text)]
    found: list[str] = []
    begin = 0
    while begin < len(ends) and ends[-1] - ends[begin] >= weight:
        found.append(text[begin : bisect_left(ends, ends[begin] + weight)])
        begin = max(begin + 1, bisect_left(ends, ends[begin] + stride))
    return found


def _edited(text: str, run: int) -> Iterator[tuple[str, int]]:
    """Pieces of a part that are looked for with edits, and with how many."""
    weight = run * _EDITED
    pieces = _windows(text, weight, stride=weight / 4)
    for piece in pieces:
        yield piece, int(len(piece) * _EDITS)
    if not pieces and _weight(text) >= weight / 2:
        yield text, int(len(text) * _EDITS_OF_WHOLE)


def _coded(text: str, codes: Mapping[str, int]) -> bytes:
    return bytes(codes.get(one, _FOREIGN) for one in text)


def _stands(piece: bytes, said: bytes, edits: int) -> bool:
    """Whether the piece stands somewhere in `said` with at most so many edits."""
    found = edlib.align(piece, said, mode="HW", task="distance", k=edits)
    # of nothing the distance is stated whatever the limit
    return bool(0 <= found["editDistance"] <= edits)


def _covered(pieces: Sequence[str], said: str) -> int:
    """Weight of the letters that lie in pieces which stand in `said`; "" is a known piece."""
    total, end = 0, 0
    for begin, piece in enumerate(pieces):
        if piece and piece in said:
            total += _weight(piece[max(0, end - begin) :])
            end = max(end, begin + len(piece))
    return total

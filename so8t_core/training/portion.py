"""A portion of the data, to train on or held out: what it was read from, and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from so8t_core.training.dataset import SampleSet
from so8t_core.training.encoding import Encoder
from so8t_core.training.sources import Source

_TOLD_SHARE = 0.1
"""Where more than this share of the rows is lost or cut, that is told and not only counted."""
_NO_ROWS = frozenset({"too_short"})
"""Reasons to drop what was no row, but the last token of a document."""


@dataclass(frozen=True)
class Portion:
    """`samples`: what `encoder` made of `taken` samples of `sources`; None where it made none.

    Only of held-out ones some may not be taken.
    """

    sources: tuple[Source, ...]
    encoder: Encoder
    taken: int
    samples: SampleSet | None

    @property
    def left(self) -> int:
        """Samples of the sources that were not taken."""
        return sum(len(source.samples) for source in self.sources) - self.taken

    @property
    def dropped(self) -> dict[str, int]:
        """What gave no sample, counted by reason."""
        dropped = Counter(self.encoder.dropped)
        for source in self.sources:
            dropped.update(source.dropped)
        return {reason: n for reason, n in sorted(dropped.items()) if n}

    def loss_note(self, what: str) -> str | None:
        """What is told of rows without a sample: where they are many, or one was malformed.

        Of what cleanse wrote, rows without an answer are its own account and meant to be there.
        """
        lost = Counter(self.encoder.dropped)
        rows = self.taken
        for source in self.sources:
            if source.kind is not None:
                lost.update(source.dropped)
                rows += sum(source.dropped.values())
        lost = Counter({reason: n for reason, n in lost.items() if reason not in _NO_ROWS})
        if not lost["malformed"] and lost.total() <= _TOLD_SHARE * rows:
            return None
        return f"{lost.total():,} of {rows:,} rows {what} gave no sample ({by_reason(lost)})."


def cut_note(cut: int, rows: int, what: str, length: int) -> str | None:
    """What is told of conversations that were cut to so many tokens, where they are many."""
    if cut <= _TOLD_SHARE * rows:
        return None
    return (
        f"{cut:,} of {rows:,} rows {what} were cut to train.max_length_tokens, {length}: the end "
        "of their answers, and the token that closes them, is not there. Raise it, or set "
        "train.long_pairs: drop."
    )


def by_reason(dropped: Mapping[str, int]) -> str:
    """Counts by reason, in words."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items()) if count)

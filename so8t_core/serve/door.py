"""Safety labels, at the door and on the way out. What cannot be judged is ESCALATION."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from so8t_core.contract.labels import SafetyLabel, strictest
from so8t_core.serve.disguise import resolve
from so8t_core.serve.release import clean


@dataclass(frozen=True)
class Judged:
    """A label and its probability; None where the judge states none."""

    label: SafetyLabel
    confidence: float | None


Judge = Callable[[str], Judged]


def word_lists(text: str) -> Judged:
    """The judge by which training data is sorted too: word lists, which state no probability."""
    from so8t_core.cleanse.safety import assess

    return Judged(assess(text).label, None)


@dataclass(frozen=True)
class Door:
    """Labels texts by the strictest of all their readings."""

    judge: Judge
    min_confidence: float

    def label(self, texts: Iterable[str]) -> Judged:
        """The label of several texts, alone and together, as they stand, decoded, and as seen."""
        texts = list(texts)
        spoken = [text for text in texts if any(map(str.isalnum, text))]
        readings = {"\n".join(texts), *(spoken if len(texts) > 1 else ())}
        readings |= {plain for text in tuple(readings) if (plain := resolve(text)) is not None}
        readings |= set(map(clean, readings))
        judged = [self._judged(reading) for reading in sorted(readings)]
        label = strictest([one.label for one in judged])
        stated = [
            one.confidence for one in judged if one.label is label and one.confidence is not None
        ]
        return Judged(label, min(stated) if stated else None)

    def _judged(self, text: str) -> Judged:
        judged = self.judge(text)
        unsure = judged.confidence is not None and judged.confidence < self.min_confidence
        if judged.label is SafetyLabel.ALLOW and unsure:
            return Judged(SafetyLabel.ESCALATION, judged.confidence)
        return judged

"""Safety labels, at the door and on the way out. What cannot be judged is ESCALATION."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from so8t_core.contract.labels import SafetyLabel, strictest
from so8t_core.serve.disguise import resolve, stream_safe
from so8t_core.serve.release import clean


@dataclass(frozen=True)
class Domain:
    """The category that a text was found to be of; None where no probability is stated."""

    name: str
    confidence: float | None


@dataclass(frozen=True)
class Judged:
    """A label and its probability; None where the judge states none, or found no category."""

    label: SafetyLabel
    confidence: float | None
    domain: Domain | None = None


Judge = Callable[[str], Judged]
_LEAST_CHARACTERS = 8  # of a paragraph that a classifier can tell anything about


def word_lists(text: str) -> Judged:
    """The judge by which training data is sorted too: word lists, which state no probability."""
    from so8t_core.cleanse.safety import assess

    verdict = assess(text)
    domain = Domain(verdict.categories[0], None) if verdict.categories else None
    return Judged(verdict.label, None, domain)


def with_classifier(folder: Path, *, flag_above: float) -> Judge:
    """The word lists, and where they allow a text the classifier saved in `folder`.

    An unsafe category of at least `flag_above` gives its label; else the text is ALLOW with the
    probability of being safe, of its least safe paragraph. Raises `InputMissing` and
    `InputInvalid` where the classifier cannot be read.
    """
    from so8t_core.cleanse.classifier import SAFE, load_classifier
    from so8t_core.cleanse.lexicon import CATEGORIES

    classifier = load_classifier(folder)
    labels = {category.name: category.label for category in CATEGORIES}

    def judge(text: str) -> Judged:
        listed = word_lists(text)
        paragraphs = [line for line in text.split("\n") if len(line) >= _LEAST_CHARACTERS]
        if listed.label is not SafetyLabel.ALLOW or not paragraphs:
            return listed
        judged = [paragraph_judged(paragraph) for paragraph in paragraphs]
        return _combined(judged)

    def paragraph_judged(paragraph: str) -> Judged:
        chances = classifier.probabilities(paragraph)
        if not all(map(math.isfinite, chances.values())):
            return Judged(SafetyLabel.ESCALATION, 0.0)
        category = max(chances, key=lambda name: (chances[name], name))
        domain = Domain(category, chances[category])
        if category != SAFE and chances[category] >= flag_above:
            label = labels.get(category, SafetyLabel.ESCALATION)
            return Judged(label, chances[category], domain)
        return Judged(SafetyLabel.ALLOW, chances[SAFE], domain)

    return judge


def _combined(judged: Sequence[Judged]) -> Judged:
    """The strictest label, with the least sure confidence and domain of those who gave it.

    A domain from the word lists, which state no probability, comes first.
    """
    label = strictest([one.label for one in judged])
    same = [one for one in judged if one.label is label]
    stated = [one.confidence for one in same if one.confidence is not None]
    domains = [one.domain for one in same if one.domain is not None]
    return Judged(
        label,
        min(stated, default=None),
        min(domains, key=lambda one: (one.confidence or 0.0, one.name), default=None),
    )


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
        return _combined([self._judged(reading) for reading in sorted(readings)])

    def _judged(self, text: str) -> Judged:
        judged = self.judge(stream_safe(text))
        unsure = judged.confidence is not None and judged.confidence < self.min_confidence
        if judged.label is SafetyLabel.ALLOW and unsure:
            return replace(judged, label=SafetyLabel.ESCALATION)
        return judged

"""The classifier's word on texts that the word lists allow."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

from so8t_core.cleanse.classifier import SAFE, Classifier, load_classifier
from so8t_core.cleanse.lexicon import CATEGORIES
from so8t_core.cleanse.safety import UNKNOWN, Verdict
from so8t_core.contract.labels import SafetyLabel, strictest
from so8t_core.contract.settings.cleanse import CleanseSettings

_LABELS = {category.name: category.label for category in CATEGORIES}
_LEAST_CHARACTERS = 8
_loaded = cache(load_classifier)


def ask(text: str, folder: Path, settings: CleanseSettings) -> Verdict:
    """Judge each paragraph by the classifier in `folder`; the strictest label wins.

    What the classifier cannot put a number on, or names by a category that is not known here, is
    ESCALATION.
    """
    classifier = _loaded(folder)
    found: list[tuple[SafetyLabel, str, str]] = []
    for paragraph in text.split("\n"):
        if len(paragraph) < _LEAST_CHARACTERS:
            continue
        judged = _judge(classifier, paragraph, settings)
        if judged is not None:
            found.append((*judged, paragraph))
    if not found:
        return Verdict(SafetyLabel.ALLOW, (), ())
    return Verdict(
        strictest([label for label, _, _ in found]),
        tuple(sorted({category for _, category, _ in found})),
        tuple(paragraph for _, _, paragraph in found),
    )


def _judge(
    classifier: Classifier, paragraph: str, settings: CleanseSettings
) -> tuple[SafetyLabel, str] | None:
    chances = classifier.probabilities(paragraph)
    if not all(map(math.isfinite, chances.values())):
        return SafetyLabel.ESCALATION, UNKNOWN
    unsafe = {name: chance for name, chance in chances.items() if name != SAFE}
    category = max(unsafe, key=lambda name: (unsafe[name], name))
    if unsafe[category] >= settings.classifier_flag_above:
        return _LABELS.get(category, SafetyLabel.ESCALATION), category
    if sum(unsafe.values()) >= settings.classifier_escalate_above:
        return SafetyLabel.ESCALATION, category
    return None

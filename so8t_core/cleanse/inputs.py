"""What a cleansing takes from outside its run, and what tells one such file from another."""

from __future__ import annotations

from so8t_core.cleanse.classifier import classifier_digest
from so8t_core.cleanse.earlier import EarlierRuns
from so8t_core.contract.settings.cleanse import CleanseSettings


def input_digests(settings: CleanseSettings) -> dict[str, str]:
    """Digests by name: of the corpus of earlier runs, and of the classifier.

    Raises `InputMissing` for an earlier run without a corpus, `OSError` for a classifier whose
    files cannot be read.
    """
    inputs = EarlierRuns(settings.earlier_runs).digests()
    if settings.safety_classifier is not None:
        inputs["safety_classifier"] = classifier_digest(settings.safety_classifier)
    return inputs

"""The safety rules on made texts, and the classifier on topics that it was not trained on.

    python benchmarks/safety.py [--json OUT]

The texts are made by tests/cleanse/flagged_texts.py: mildly worded, in disguises, of every
category, with harmless neighbours. The classifier is trained, calibrated and measured on different
topics of each category (about 15 % of the topics for the last), so what it has learned of a wording
counts and what it has learned of a thing does not. It serves detection and refusal only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so8t_core.cleanse.classifier_training import LabelledText, train, wilson
from so8t_core.cleanse.safety import assess
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import ClassifierSettings
from tests.cleanse.flagged_texts import Labelled, flagged, harmless


def rules(texts: list[Labelled]) -> dict[str, Any]:
    """How many texts of each category the rules flag."""
    trials, found = Counter[str](), Counter[str]()
    for text in texts:
        trials[text.category] += 1
        found[text.category] += assess(text.text).label is not SafetyLabel.ALLOW
    return {
        name: {
            "texts": trials[name],
            "flagged": found[name],
            "interval": wilson(found[name], trials[name]),
        }
        for name in sorted(trials)
    }


def main() -> None:
    """Print both as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    made = [*flagged(1), *flagged(2), *harmless(1), *harmless(2)]
    labelled = [LabelledText(text.text, text.category, text.group) for text in made]
    figures: dict[str, Any] = {"rules": rules([*flagged(1), *harmless(1)])}
    _, figures["classifier"] = train(labelled, ClassifierSettings())
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

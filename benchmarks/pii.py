"""Recall and precision of the masking of personal data, by type, on a generated set.

    python benchmarks/pii.py [--seed 1] [--rounds 25] [--json OUT] [--misses 20]

A positive counts as found when its placeholder stands in the text and the value does not. Precision
counts every placeholder: one in a harmless text, or of a type that a positive does not hold, is
wrong.
Intervals are Wilson's at 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so8t_core.cleanse.classifier_training import wilson
from so8t_core.cleanse.pii import PLACEHOLDERS, mask
from so8t_core.contract.labels import PersonalData
from tests.cleanse.personal_data import Case, negatives, positives


def bare(text: str) -> str:
    """What a value is without width, blanks and marks."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))


def measure(cases: list[Case], harmless: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Figures by type, and what went wrong."""
    trials, hits, wrong = Counter[str](), Counter[str](), Counter[str]()
    misses: list[str] = []
    started = time.process_time()
    for case in cases:
        masked = mask([case.text])
        trials[case.kind] += 1
        placeholder = PLACEHOLDERS[PersonalData(case.kind)]
        if placeholder in masked.texts[0] and bare(case.value) not in bare(masked.texts[0]):
            hits[case.kind] += 1
        else:
            misses.append(f"missed {case.kind} ({case.form}): {case.text!r} -> {masked.texts[0]!r}")
        for kind in set(masked.counts) - {case.kind} - case.also:
            wrong[kind] += masked.counts[kind]
            misses.append(
                f"wrong {kind} in {case.kind} ({case.form}): {case.text!r} -> {masked.texts[0]!r}"
            )
    for text in harmless:
        for kind, count in mask([text]).counts.items():
            wrong[kind] += count
            misses.append(f"wrong {kind}: {text!r}")
    seconds = time.process_time() - started
    types = {}
    for kind in sorted(trials):
        found = hits[kind] + wrong[kind]
        types[kind] = {
            "positives": trials[kind],
            "recall": hits[kind] / trials[kind],
            "recall_interval": wilson(hits[kind], trials[kind]),
            "precision": hits[kind] / found if found else 0.0,
            "precision_interval": wilson(hits[kind], found),
        }
    figures = {
        "positives": len(cases),
        "hard_negatives": len(harmless),
        "texts_per_s": (len(cases) + len(harmless)) / seconds,
        "types": types,
    }
    return figures, misses


def main() -> None:
    """Print the table; exit with 1 where a type misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--misses", type=int, default=20)
    arguments = parser.parse_args()
    cases = positives(arguments.seed, arguments.rounds)
    harmless = negatives(arguments.seed, arguments.rounds)
    figures, misses = measure(cases, harmless)
    print(
        f"{figures['positives']} positives, {figures['hard_negatives']} hard negatives, "
        f"{figures['texts_per_s']:.0f} texts a second of one core"
    )
    print(f"{'type':<18}{'positives':>10}{'recall':>9}{'95 %':>16}{'precision':>11}{'95 %':>16}")
    for kind, row in figures["types"].items():
        low, high = row["recall_interval"]
        least, most = row["precision_interval"]
        print(
            f"{kind:<18}{row['positives']:>10}{row['recall']:>9.3f}{f'{low:.3f}-{high:.3f}':>16}"
            f"{row['precision']:>11.3f}{f'{least:.3f}-{most:.3f}':>16}"
        )
    for line in misses[: arguments.misses]:
        print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(any(r["recall"] < 0.98 or r["precision"] < 0.97 for r in figures["types"].values()))


if __name__ == "__main__":
    main()

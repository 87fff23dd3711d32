"""What a generated answer to a task is worth."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_QUOTES_AND_STOPS = re.compile(r"[「」『』\"'。．.、，,\s]")


def score_passage(row: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """Exact match, and F1 over characters, each with the reference that fits best.

    As JGLUE scores JSQuAD: Japanese has no spaces, so characters stand for words.
    """
    given = _plain(answers[0])
    return {
        "exact_match": float(any(given == _plain(reference) for reference in row["answers"])),
        "f1": max(character_f1(given, _plain(reference)) for reference in row["answers"]),
    }


def score_number(row: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """Whether the last number of the answer is the right one, however it is written."""
    found = _NUMBER.findall(unicodedata.normalize("NFKC", answers[0]))
    right = bool(found) and float(found[-1].replace(",", "")) == float(row["answer"])
    return {"exact_match": float(right)}


def character_f1(given: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the characters, order disregarded."""
    shared = sum((Counter(given) & Counter(reference)).values())
    return 2 * shared / (len(given) + len(reference)) if shared else 0.0


def _plain(text: str) -> str:
    return _QUOTES_AND_STOPS.sub("", unicodedata.normalize("NFKC", text))

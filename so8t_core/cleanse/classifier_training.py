"""Building the safety classifier from labelled texts, and measuring it on texts it has not seen."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.classifier import BUCKETS, SAFE, Classifier, Floats, features, softmax
from so8t_core.cleanse.lexicon import CATEGORIES
from so8t_core.cleanse.text import comparable
from so8t_core.contract.errors import DataError, InputMissing
from so8t_core.contract.files import sha256_text
from so8t_core.contract.settings.cleanse import ClassifierSettings

_KNOWN = frozenset(category.name for category in CATEGORIES) | {SAFE}
_PARTS = ("test", "calibration", "train")
_SHARE = 0.15  # of the groups of a class, for each of the first two
_BATCH = 64
_BINS = 10
_Z = 1.96  # 95 %


@dataclass(frozen=True)
class LabelledText:
    """A text and its class."""

    text: str
    name: str
    group: str = ""
    """Texts of one group are never split; empty for a text that is a group of its own."""


def read_labelled(path: Path) -> list[LabelledText]:
    """Texts from a `.jsonl` file (`text`, `category`, maybe `group`) or a safety Parquet file.

    A row without a category, or of the label ALLOW, is safe. Raises `InputMissing` and `DataError`.
    """
    if not path.is_file():
        raise InputMissing(
            "The labelled data is not there.",
            where=str(path),
            hint="Give a JSON Lines file with text and category, or a safety data set in Parquet.",
        )
    found = []
    for number, row in enumerate(_rows(path), start=1):
        text, name = row.get("text"), _class_of(row)
        if not isinstance(text, str) or not text.strip() or name not in _KNOWN:
            raise DataError(
                "A row has no text or no known category.",
                where=f"{path}:{number}",
                hint=f"Known categories: {', '.join(sorted(_KNOWN))}.",
            )
        found.append(LabelledText(text, name, str(row.get("group") or "")))
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # takes a moment to load, and JSON Lines need not pay for it

        yield from pq.read_table(path).to_pylist()
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    "A line is no JSON.", where=f"{path}:{number}", hint="One object a line."
                ) from error
            yield row if isinstance(row, dict) else {}


def _class_of(row: dict[str, Any]) -> object:
    categories = row.get("categories")
    if isinstance(categories, list) and categories:
        return categories[0]
    category = row.get("category")
    if isinstance(category, str) and category:
        return category
    return SAFE if row.get("label") == "ALLOW" else None


@dataclass(frozen=True)
class Part:
    """Texts of one part as features: per text its buckets and values, and the classes' numbers."""

    rows: list[tuple[npt.NDArray[np.int64], Floats]]
    targets: npt.NDArray[np.int64]


def train(texts: Sequence[LabelledText], settings: ClassifierSettings) -> tuple[Classifier, Any]:
    """Train, calibrate and measure; equal texts never stand in two parts.

    Raises `DataError` where a class has too few different texts to be learned and measured.
    """
    classes = (SAFE, *sorted({text.name for text in texts} - {SAFE}))
    parts = _parts(texts, classes, settings.seed)
    _check(texts, classes, parts)
    weights, biases = _fit(parts["train"], len(classes), settings)
    raw = Classifier(classes, weights, biases, 1.0)
    temperature = _temperature(_logits(raw, parts["calibration"]), parts["calibration"].targets)
    classifier = Classifier(classes, weights, biases, temperature)
    chances = softmax(_logits(classifier, parts["test"]) / np.float32(temperature))
    metrics = measure(chances, parts["test"].targets, classes)
    metrics["texts"] = {name: len(part.targets) for name, part in parts.items()}
    return classifier, metrics


def _parts(texts: Sequence[LabelledText], classes: tuple[str, ...], seed: int) -> dict[str, Part]:
    """Whole groups to each part, of every class in the order of a seeded hash of their names."""
    held: dict[str, list[LabelledText]] = {name: [] for name in _PARTS}
    part_of: dict[str, str] = {}
    different: dict[str, LabelledText] = {}
    for text in sorted(texts, key=lambda text: (text.text, text.name)):
        different.setdefault(comparable(text.text), text)
    groups = {key: text.group or key for key, text in different.items()}
    for name in classes:
        own = {groups[key] for key, text in different.items() if text.name == name}
        ordered = sorted(own, key=lambda group: (sha256_text(f"{seed}\n{group}"), group))
        aside = max(1, round(_SHARE * len(ordered)))
        for place, group in enumerate(ordered):
            part = _PARTS[min(place // aside, len(_PARTS) - 1)]
            part_of.setdefault(group, part)
    for key, text in different.items():
        held[part_of[groups[key]]].append(text)
    return {
        part: Part(
            [features(text.text) for text in rows],
            np.array([classes.index(text.name) for text in rows], dtype=np.int64),
        )
        for part, rows in held.items()
    }


def _check(texts: Sequence[LabelledText], classes: tuple[str, ...], parts: dict[str, Part]) -> None:
    lacking = [
        name
        for number, name in enumerate(classes)
        if any(not (part.targets == number).any() for part in parts.values())
    ]
    if lacking or len(classes) < 2:
        counts = Counter(text.name for text in texts)
        raise DataError(
            "Too few different texts to train on, calibrate and measure.",
            where=", ".join(f"{name} {counts[name]}" for name in lacking or classes),
            hint="Give at least some thirty different texts of each category, and of safe ones.",
        )


def _fit(part: Part, classes: int, settings: ClassifierSettings) -> tuple[Floats, Floats]:
    """Adagrad over mini-batches in a seeded order (Duchi et al. 2011), classes weighted alike."""
    chance = np.random.default_rng(settings.seed)
    weights = np.zeros((BUCKETS, classes), dtype=np.float32)
    biases = np.zeros(classes, dtype=np.float32)
    squares = np.full((BUCKETS, classes), 1e-6, dtype=np.float32)
    bias_squares = np.full(classes, 1e-6, dtype=np.float32)
    counts = np.bincount(part.targets, minlength=classes)
    importance = (len(part.targets) / (classes * counts)).astype(np.float32)
    for _ in range(settings.epochs):
        order = chance.permutation(len(part.rows))
        for start in range(0, len(order), _BATCH):
            for number in order[start : start + _BATCH]:
                buckets, values = part.rows[number]
                target = part.targets[number]
                error = softmax((values @ weights[buckets] + biases)[None, :])[0]
                error[target] -= 1
                error *= importance[target]
                gradient = values[:, None] * error + settings.decay * weights[buckets]
                squares[buckets] += gradient**2
                weights[buckets] -= settings.rate * gradient / np.sqrt(squares[buckets])
                bias_squares += error**2
                biases -= settings.rate * error / np.sqrt(bias_squares)
    return weights, biases


def _logits(classifier: Classifier, part: Part) -> Floats:
    rows = [
        values @ classifier.weights[buckets] + classifier.biases for buckets, values in part.rows
    ]
    return np.asarray(rows, dtype=np.float32)


def _temperature(logits: Floats, targets: npt.NDArray[np.int64]) -> float:
    """The temperature with the least negative log likelihood, by golden section."""

    def loss(log_temperature: float) -> float:
        chances = softmax(logits / np.float32(math.exp(log_temperature)))
        return float(-np.log(np.maximum(chances[np.arange(len(targets)), targets], 1e-12)).mean())

    low, high = 0.0, math.log(20.0)  # few texts may call for sharpening, which is not believed
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def measure(
    chances: Floats, targets: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Precision, recall and calibration of each class with intervals (Wilson, 95 %)."""
    predicted = chances.argmax(axis=1)
    rows = {}
    for number, name in enumerate(classes):
        told, true = predicted == number, targets == number
        hits = int((told & true).sum())
        rows[name] = {
            "texts": int(true.sum()),
            "precision": hits / int(told.sum()) if told.any() else 0.0,
            "precision_interval": wilson(hits, int(told.sum())),
            "recall": hits / int(true.sum()) if true.any() else 0.0,
            "recall_interval": wilson(hits, int(true.sum())),
            "calibration_error": _calibration_error(chances[:, number], true),
            "calibration_error_interval": _bootstrap(chances[:, number], true),
        }
    return {"classes": rows, "accuracy": float((predicted == targets).mean())}


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's interval of a share, 95 %."""
    if not trials:
        return 0.0, 1.0
    share = hits / trials
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    spread = math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    half = _Z * spread / (1 + _Z**2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def _calibration_error(chances: Floats, true: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins (Naeini et al. 2015)."""
    bins = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(float(chances[bins == place].mean()) - float(true[bins == place].mean()))
        * float((bins == place).mean())
        for place in range(_BINS)
        if (bins == place).any()
    ]
    return float(sum(gaps))


def _bootstrap(chances: Floats, true: npt.NDArray[np.bool_]) -> tuple[float, float]:
    chance = np.random.default_rng(0)
    draws = [
        _calibration_error(chances[picked], true[picked])
        for picked in (chance.integers(len(true), size=len(true)) for _ in range(200))
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)

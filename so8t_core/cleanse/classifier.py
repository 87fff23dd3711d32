"""A small classifier of unsafe text over hashed character n-grams.

It serves detection and refusal only.

Softmax regression on the folded text (see `safety.py`), calibrated by one temperature (Guo et al.
2017) on texts that it was not trained on. Saved as safetensors and JSON, nothing that runs code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from so8t_core.cleanse.document import Frozen
from so8t_core.cleanse.ngrams import Ngrams
from so8t_core.cleanse.safety_folding import fold
from so8t_core.contract.errors import InputInvalid, InputMissing
from so8t_core.contract.files import replacing, sha256_file, write_json

SAFE = "safe"
"""The class of harmless text; every other class is a category of the lexicon."""

BUCKETS = 1 << 16
SIZES = (1, 2, 3, 4)
WEIGHTS_NAME = "classifier.safetensors"
CARD_NAME = "classifier.json"
PURPOSE = (
    "Detection and refusal of unsafe text only. It must not be used to select, rank or generate it."
)
_FORMAT = 2
_PROBE = (
    "Ａ・Ｂ-ｃ ｱﾀﾞﾙﾄ ア゛セッ久ス ｓ3x sekkusu 風イ谷 タヒ 覚、醒、剤 ヌ＊ー＊ド＊画像 "
    "【爆】(弾) 爆\u0336 無\u200b修 こ1そ 樂壯麻 аео 〜～ ○□◆ ぁっゃ がぎぱ 100% bakudan no"
)
"""A text that every rule of the folded view changes."""

Floats = npt.NDArray[np.float32]


class Card(Frozen):
    """What is known about a saved classifier."""

    format: int
    purpose: str
    classes: tuple[str, ...]
    buckets: int
    sizes: tuple[int, ...]
    features: str
    """Digest of the features of a fixed text: weights fit no others."""
    temperature: float
    metrics: dict[str, Any]


def features(text: str) -> tuple[npt.NDArray[np.int64], Floats]:
    """Buckets of the n-grams that occur, and their weights: 1 + log of the count, of length 1."""
    ngrams = Ngrams(fold(text))
    hashes = np.concatenate([ngrams.hashes(size) + np.uint64(size) for size in SIZES])
    mixed = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    buckets, counts = np.unique((mixed >> np.uint64(48)).astype(np.int64), return_counts=True)
    values = 1.0 + np.log(counts)
    length = float(np.linalg.norm(values))
    return buckets, (values / length if length else values).astype(np.float32)


def features_digest() -> str:
    """Identity of how texts become features, seen at a fixed text."""
    buckets, _ = features(_PROBE)
    return hashlib.sha256(buckets.astype("<i8").tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Classifier:
    """Weights of shape (buckets, classes), biases of shape (classes,), and the temperature."""

    classes: tuple[str, ...]
    weights: Floats
    biases: Floats
    temperature: float

    def logits(self, text: str) -> Floats:
        """One uncalibrated score for each class."""
        buckets, values = features(text)
        return np.asarray(values @ self.weights[buckets] + self.biases, dtype=np.float32)

    def probabilities(self, text: str) -> dict[str, float]:
        """The calibrated probability of each class."""
        chances = softmax(self.logits(text)[None, :] / self.temperature)[0]
        return dict(zip(self.classes, map(float, chances), strict=True))

    def save(self, folder: Path, metrics: dict[str, Any]) -> None:
        """Write both files durably, the card last."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS_NAME) as partial:
            save_file({"weights": self.weights, "biases": self.biases}, str(partial))
        card = Card(
            format=_FORMAT,
            purpose=PURPOSE,
            classes=self.classes,
            buckets=BUCKETS,
            sizes=SIZES,
            features=features_digest(),
            temperature=self.temperature,
            metrics=metrics,
        )
        write_json(folder / CARD_NAME, card.model_dump(mode="json"))


def softmax(logits: Floats) -> Floats:
    """Rows that sum to one."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def load_classifier(folder: Path) -> Classifier:
    """Read a saved classifier.

    Raises `InputMissing` where a file is not there and `InputInvalid` where the two are not those
    of one classifier of this version.
    """
    for name in (WEIGHTS_NAME, CARD_NAME):
        if not (folder / name).is_file():
            raise InputMissing(
                f"The safety classifier has no {name}.",
                where=str(folder),
                hint="Build it: so8t cleanse train-classifier --data FILE --output DIR",
            )
    try:
        card = Card.model_validate(json.loads((folder / CARD_NAME).read_text(encoding="utf-8")))
        tensors = load_file(folder / WEIGHTS_NAME)
        weights, biases = tensors["weights"], tensors["biases"]
    except (ValueError, ValidationError, SafetensorError, KeyError) as error:
        raise _unusable(folder, "cannot be read") from error
    fits = (
        card.format == _FORMAT
        and card.buckets == BUCKETS
        and card.sizes == SIZES
        and card.features == features_digest()
        and weights.shape == (BUCKETS, len(card.classes))
        and biases.shape == (len(card.classes),)
        and bool(np.isfinite(weights).all() and np.isfinite(biases).all())
        and card.temperature > 0
        and SAFE in card.classes
    )
    if not fits:
        raise _unusable(folder, "does not fit its card or this version")
    return Classifier(card.classes, weights, biases, card.temperature)


def classifier_digest(folder: Path) -> str:
    """Identity of a saved classifier."""
    return sha256_file(folder / WEIGHTS_NAME) + sha256_file(folder / CARD_NAME)


def _unusable(folder: Path, why: str) -> InputInvalid:
    return InputInvalid(
        f"The safety classifier {why}.",
        where=str(folder),
        hint="Build it again: so8t cleanse train-classifier --data FILE --output DIR",
    )

"""Telling prose from words in random order, by how kana follow one another.

Japanese joins its words with kana in few ways; shuffled words join them in any. Letters are reduced
to classes (each hiragana is one; ideographs, katakana, Latin letters with digits, comma, end of a
sentence and the rest are one each, their runs taken as one), and the mean negative logarithm of the
trigrams that hold a hiragana is the score. Whole phrases in random order are not noticed.
"""

from __future__ import annotations

import io
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from so8t_core.cleanse.ngrams import code_points

HIRAGANA = tuple(chr(code) for code in range(0x3041, 0x3097))
_KANJI, _KATAKANA, _LATIN, _COMMA, _END, _OTHER = range(len(HIRAGANA), len(HIRAGANA) + 6)
CLASSES = (*HIRAGANA, "kanji", "katakana", "Latin", "comma", "end", "other")
STEP = 0.05
"""Nats that one unit of the table stands for."""

_SKIPPED = 255
_TABLE = "kana_trigrams.npz"
_LEAST_TRIGRAMS = 20


@cache
def _class_of() -> npt.NDArray[np.uint8]:
    """The class of each code point of the basic plane."""
    classes = np.full(0x10000, _OTHER, dtype=np.uint8)
    for code in range(0x10000):
        if chr(code).isalnum():
            classes[code] = _LATIN
    classes[0x4E00:0xA000] = _KANJI
    classes[[ord(letter) for letter in "々〆ヶ"]] = _KANJI
    classes[0x30A1:0x3100] = _KATAKANA
    classes[ord("ヶ")] = _KANJI
    classes[0x3041:0x3097] = np.arange(len(HIRAGANA))
    classes[[ord(letter) for letter in "、，,"]] = _COMMA
    classes[[ord(letter) for letter in "。．！？!?"]] = _END
    classes[[ord(letter) for letter in " \t\u3000"]] = _SKIPPED
    return classes


def class_sequence(text: str) -> npt.NDArray[np.int64]:
    """The classes of a text, blanks left out and runs of what is no hiragana taken as one."""
    points = np.minimum(code_points(text), 0xFFFF)
    classes = _class_of()[points]
    classes = classes[classes != _SKIPPED]
    if not len(classes):
        return np.zeros(0, dtype=np.int64)
    first = np.ones(len(classes), dtype=bool)
    first[1:] = (classes[1:] != classes[:-1]) | (classes[1:] < _KANJI)
    return np.asarray(classes[first], dtype=np.int64)


def scored(line: npt.NDArray[np.int64], logs: npt.NDArray[np.uint8]) -> float:
    """Mean negative logarithm, in nats, of the trigrams with a hiragana; 0 for hardly any."""
    if len(line) < 3:
        return 0.0
    kana = line < _KANJI
    chosen = kana[:-2] | kana[1:-1] | kana[2:]
    values = logs[line[:-2], line[1:-1], line[2:]][chosen]
    return float(values.mean()) * STEP if len(values) >= _LEAST_TRIGRAMS else 0.0


@cache
def _logs() -> npt.NDArray[np.uint8]:
    """The shipped table, built by benchmarks/kana_trigrams.py."""
    raw = io.BytesIO(resources.files("so8t_core.cleanse").joinpath(_TABLE).read_bytes())
    with np.load(raw, allow_pickle=False) as arrays:
        return np.asarray(arrays["logs"], dtype=np.uint8)


def surprise(text: str) -> float:
    """How unlikely the order of a text's kana is, in nats a trigram; about 2 in prose."""
    return scored(class_sequence(text), _logs())

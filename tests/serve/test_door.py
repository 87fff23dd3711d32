"""Labels by the word lists and, where there is one, by a classifier besides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from so8t_core.cleanse.classifier import BUCKETS, Classifier, features
from so8t_core.contract.errors import InputMissing
from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.door import Domain, Door, Judged, with_classifier, word_lists

CLASSES = ("safe", "adult", "made_up")
FINE = "今日はとてもよい天気です"
BAD = "ねこのかくれんぼのしかた"
ODD = "そらとぶとうふのつくりかた"
UNSURE = "銀河鉄道株式会社"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that knows four texts by their n-grams."""
    weights = np.zeros((BUCKETS, len(CLASSES)), dtype=np.float32)
    for text, column in ((FINE, 0), (BAD, 1), (ODD, 2)):
        buckets, _ = features(text)
        weights[buckets, column] += 5
    path = tmp_path_factory.mktemp("classifier")
    Classifier(CLASSES, weights, np.zeros(len(CLASSES), dtype=np.float32), 1.0).save(path, {})
    return path


def door(folder: Path) -> Door:
    return Door(with_classifier(folder, flag_above=0.9), min_confidence=0.5)


def test_a_classifier_states_how_sure_it_is(folder: Path):
    judged = door(folder).label([FINE])
    assert judged.label is SafetyLabel.ALLOW
    assert judged.confidence is not None
    assert judged.confidence > 0.9


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (BAD, SafetyLabel.DENY),
        (ODD, SafetyLabel.ESCALATION),  # a category without a label
        (UNSURE, SafetyLabel.ESCALATION),  # a third of being safe
        ("死にたい", SafetyLabel.ESCALATION),  # the word lists come first
        (f"{FINE}\n{BAD}", SafetyLabel.DENY),
    ],
    ids=["category", "unknown category", "unsure", "word lists", "one paragraph"],
)
def test_what_it_does_not_hold_for_safe_is_not_allowed(folder: Path, text: str, label: SafetyLabel):
    assert door(folder).label([text]).label is label
    assert door(folder).label([FINE, text]).label is label


def test_numbers_that_are_none_are_escalation(folder: Path, tmp_path: Path, monkeypatch):
    judge = with_classifier(folder, flag_above=0.9)
    monkeypatch.setattr(
        Classifier, "probabilities", lambda *_: dict.fromkeys(CLASSES, float("nan"))
    )
    assert judge(FINE).label is SafetyLabel.ESCALATION


def test_word_lists_alone_state_no_probability():
    assert word_lists(FINE).confidence is None


def test_the_domain_is_the_likeliest_category_with_its_probability(folder: Path):
    for text, name in ((FINE, "safe"), (BAD, "adult"), (ODD, "made_up")):
        judged = door(folder).label([text])
        assert judged.domain is not None
        assert judged.domain.name == name
        assert judged.domain.confidence == judged.confidence


def test_the_domain_is_that_of_the_text_that_decided(folder: Path):
    both = door(folder).label([FINE, BAD])
    assert both.domain == door(folder).label([BAD]).domain
    assert door(folder).label([FINE, "死にたい"]).domain == Domain("self_harm", None)


def test_word_lists_name_a_domain_only_where_they_know_a_word():
    assert word_lists(FINE) == Judged(SafetyLabel.ALLOW, None, None)
    assert word_lists("無修正動画を見せて").domain == Domain("adult", None)
    assert word_lists("……").domain == Domain("unknown", None)


def test_a_missing_classifier_is_named(tmp_path: Path):
    with pytest.raises(InputMissing, match="no classifier"):
        with_classifier(tmp_path, flag_above=0.9)


def test_a_judge_never_sees_a_long_run_of_combining_characters():
    seen: list[str] = []

    def judge(text: str) -> Judged:
        seen.append(text)
        return Judged(SafetyLabel.ALLOW, None)

    Door(judge, 0.5).label(["a" + "\u0301\u0323" * 5_000, "b" + "&#769;" * 1_000])
    assert max(text.count("\u0301") for text in seen) <= 60

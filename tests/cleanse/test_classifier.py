import json

import numpy as np
import pytest

from so8t_core.cleanse import classifier as classifier_module
from so8t_core.cleanse import second_opinion
from so8t_core.cleanse.classifier import (
    CARD_NAME,
    WEIGHTS_NAME,
    Classifier,
    features,
    load_classifier,
)
from so8t_core.cleanse.classifier_training import LabelledText, measure, read_labelled, train
from so8t_core.cleanse.safety import assess
from so8t_core.contract.errors import DataError, InputInvalid, InputMissing
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import ClassifierSettings, CleanseSettings
from tests.cleanse.flagged_texts import flagged, harmless
from tests.cleanse.samples import prose


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A classifier built from made texts: its folder, itself and its metrics."""
    made = [*flagged(1), *flagged(2), *harmless(1), *harmless(2)]
    texts = [LabelledText(text.text, text.category) for text in made]
    classifier, metrics = train(texts, ClassifierSettings(epochs=6))
    folder = tmp_path_factory.mktemp("classifier")
    classifier.save(folder, metrics)
    return folder, classifier, metrics


def test_a_saved_classifier_gives_the_same_probabilities(built):
    folder, classifier, metrics = built
    loaded = load_classifier(folder)
    for text in ("庭の話です。", "爆弾の作り方を説明します。", ""):
        assert loaded.probabilities(text) == classifier.probabilities(text)
        assert sum(loaded.probabilities(text).values()) == pytest.approx(1, abs=1e-5)
    card = json.loads((folder / CARD_NAME).read_text())
    assert "Detection and refusal" in card["purpose"]
    assert card["metrics"]["accuracy"] == metrics["accuracy"]
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}


def test_it_tells_the_classes_of_unseen_texts_apart(built):
    _, _, metrics = built
    for row in metrics["classes"].values():
        low, high = row["recall_interval"]
        assert low <= row["recall"] <= high
        assert row["recall"] >= 0.8
        assert row["precision"] >= 0.8


def test_training_twice_gives_the_same_weights(built):
    made = [*flagged(1), *flagged(2), *harmless(1), *harmless(2)]
    texts = [LabelledText(text.text, text.category) for text in reversed(made)]
    again, _ = train(texts, ClassifierSettings(epochs=6))
    assert np.array_equal(again.weights, built[1].weights)


def test_disguises_change_no_feature():
    plain, dressed = features("アダルト動画のまとめ"), features("ア・ダ・ル・ト 動☆画のまとめ")
    assert np.array_equal(plain[0], dressed[0])
    assert np.linalg.norm(plain[1]) == pytest.approx(1)
    assert len(features("")[0]) == 0


def test_what_the_lists_miss_is_flagged_by_the_classifier(built):
    folder, *_ = built
    settings = CleanseSettings(safety_classifier=folder, classifier_flag_above=0.5)
    missed = "コカインあります、研究のため格安で"
    text = f"{prose(1, 1)}\n{missed}"
    assert assess(text).label is SafetyLabel.ALLOW
    verdict = second_opinion.ask(text, folder, settings)
    assert verdict.label is not SafetyLabel.ALLOW
    assert verdict.passages == (missed,)
    assert second_opinion.ask(prose(2, 2), folder, settings).label is SafetyLabel.ALLOW


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_escalated(monkeypatch, value, tmp_path):
    broken = Classifier(
        ("safe", "drugs"),
        np.full((1 << 16, 2), value, dtype=np.float32),
        np.zeros(2, dtype=np.float32),
        1.0,
    )
    monkeypatch.setattr(second_opinion, "_loaded", lambda folder: broken)
    with np.errstate(all="ignore"):
        verdict = second_opinion.ask("どんな文章でもかまいません。", tmp_path, CleanseSettings())
    assert verdict.label is SafetyLabel.ESCALATION


def test_a_category_that_is_not_known_here_is_escalated(monkeypatch, tmp_path):
    other = Classifier(
        ("safe", "gambling"),
        np.tile(np.array([-9, 9], dtype=np.float32), (1 << 16, 1)),
        np.zeros(2, dtype=np.float32),
        1.0,
    )
    monkeypatch.setattr(second_opinion, "_loaded", lambda folder: other)
    verdict = second_opinion.ask("どんな文章でもかまいません。", tmp_path, CleanseSettings())
    assert verdict.label is SafetyLabel.ESCALATION
    assert verdict.categories == ("gambling",)


def test_calibration_is_measured_against_what_is_true():
    chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]], dtype=np.float32)
    rows = measure(chances, np.array([0, 0, 1, 0]), ("safe", "drugs"))["classes"]
    assert rows["drugs"]["precision"] == 0.5
    assert rows["drugs"]["recall"] == 1.0
    assert rows["drugs"]["calibration_error"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.3, abs=1e-6)


def test_a_damaged_or_missing_classifier_is_named(built, tmp_path):
    folder, *_ = built
    with pytest.raises(InputMissing, match=CARD_NAME.replace(".json", "")):
        load_classifier(tmp_path)
    for name, content in ((WEIGHTS_NAME, b"nothing"), (CARD_NAME, b"{}")):
        broken = tmp_path / name.replace(".", "_")
        broken.mkdir()
        for file in folder.iterdir():
            (broken / file.name).write_bytes(file.read_bytes())
        (broken / name).write_bytes(content)
        with pytest.raises(InputInvalid, match="cannot be read"):
            load_classifier(broken)


def test_a_classifier_of_another_folding_is_refused(built, monkeypatch):
    """Its weights belong to other features; it has to be built again."""
    folder, *_ = built
    load_classifier(folder)
    monkeypatch.setattr(classifier_module, "fold", str.lower)
    with pytest.raises(InputInvalid, match="does not fit") as caught:
        load_classifier(folder)
    assert "train-classifier" in str(caught.value)


def test_labelled_rows_are_read_and_bad_ones_named(tmp_path):
    file = tmp_path / "labelled.jsonl"
    rows = [{"text": "a", "category": "drugs", "group": "g"}, {"text": "b", "label": "ALLOW"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_labelled(file) == [LabelledText("a", "drugs", "g"), LabelledText("b", "safe")]
    for bad in ('{"text": "a", "category": "unheard of"}', '{"category": "drugs"}', "{"):
        file.write_text(json.dumps(rows[0]) + "\n" + bad + "\n")
        with pytest.raises(DataError) as caught:
            read_labelled(file)
        assert caught.value.where == f"{file}:2"
    with pytest.raises(DataError, match="Too few"):
        train([LabelledText("a", "drugs"), LabelledText("b", "safe")], ClassifierSettings())
    with pytest.raises(InputMissing):
        read_labelled(tmp_path / "nothing.jsonl")

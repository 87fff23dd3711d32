"""Exported forms on the items of an evaluation, and the card that tells of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from so8t_core.contract.errors import StoreError
from so8t_core.phases.base import HardPause, Outcome
from so8t_core.phases.evaluate import run as evaluate
from so8t_core.phases.export import run as export
from tests.evaluation.trial import TINY_EVALUATION, PausingGate, context

SETTINGS: dict[str, Any] = {"llama_cpp": "off", "gguf_types": ["Q8_0", "Q4_0"]}


@pytest.fixture(scope="module")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("evaluated")
    return folder, evaluate(context(trained, folder, "evaluate", **TINY_EVALUATION))


def run_of(evaluated: tuple[Path, Outcome], folder: Path) -> Path:
    """A new run with the result of the evaluation."""
    shutil.copytree(evaluated[0] / "evaluate", folder / "evaluate")
    return folder


def exported(trained: Path, folder: Path, evaluated: tuple[Path, Outcome], **changed: Any):
    ctx = context(
        trained, folder, "export", evaluated=evaluated[1].figures, **{**SETTINGS, **changed}
    )
    return export(ctx)


@pytest.fixture(scope="module")
def whole(
    trained: Path, evaluated: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Path]:
    folder = run_of(evaluated, tmp_path_factory.mktemp("whole") / "run")
    return exported(trained, folder, evaluated), folder / "export"


def timeless(measured: dict[str, Any]) -> dict[str, Any]:
    return {
        form: {key: value for key, value in figures.items() if key != "speed"}
        for form, figures in measured.items()
    }


def test_folding_is_not_different_from_the_trained_model(whole: tuple[Outcome, Path]):
    folded = whole[0].figures["measured"]["folded"]
    assert folded["read_by"] == "transformers"
    assert folded["documents"]["verdict"] == "no difference shown"
    assert abs(folded["documents"]["bits_per_byte"]["difference"]["value"]) < 1e-6
    assert folded["same_answers"] == folded["prompts"] == 3
    assert folded["speed"]["folded"]["answers"] == 3


def test_every_form_is_compared_on_the_items_of_the_evaluation(
    whole: tuple[Outcome, Path], evaluated: tuple[Path, Outcome]
):
    measured = whole[0].figures["measured"]
    assert set(measured) == {"folded", "Q8_0"}
    before = evaluated[1].figures["documents"]
    for form, figures in measured.items():
        assert figures["documents"]["items"] == before["items"]
        bits = figures["documents"]["bits_per_byte"]
        assert bits["tuned"] == before["bits_per_byte"]["tuned"]
        assert bits[form]["value"] > 0
    assert set(measured["folded"]["refusals"]) == {"allow", "escalation", "deny", "refuse"}


@pytest.mark.parametrize("pause_at", [200, 260, 300])
def test_a_measurement_that_was_left_ends_with_the_same_figures(
    trained: Path,
    whole: tuple[Outcome, Path],
    evaluated: tuple[Path, Outcome],
    tmp_path: Path,
    pause_at: int,
):
    folder = run_of(evaluated, tmp_path / "run")
    figures = evaluated[1].figures
    gate = PausingGate(pause_at)
    try:
        export(context(trained, folder, "export", pause=gate, evaluated=figures, **SETTINGS))
    except HardPause:
        pass
    else:
        assert gate.points < pause_at
    outcome = exported(trained, folder, evaluated)
    assert timeless(outcome.figures["measured"]) == timeless(whole[0].figures["measured"])
    assert outcome.digest == whole[0].digest
    assert (folder / "export" / "README.md").read_text() == (whole[1] / "README.md").read_text()


def test_without_an_evaluation_the_result_is_the_same_and_that_is_said(
    trained: Path, whole: tuple[Outcome, Path], tmp_path: Path
):
    outcome = export(context(trained, tmp_path, "export", **SETTINGS))
    assert outcome.figures["measured"] == {}
    assert outcome.digest == whole[0].digest
    assert any("were not measured" in note for note in outcome.notes)
    assert "was not evaluated" in (tmp_path / "export" / "README.md").read_text()


def test_nothing_is_measured_that_is_not_asked_for(
    trained: Path, evaluated: tuple[Path, Outcome], tmp_path: Path
):
    folder = run_of(evaluated, tmp_path / "run")
    outcome = exported(trained, folder, evaluated, measure=[])
    assert outcome.figures["measured"] == {}


def test_a_damaged_evaluation_is_named(
    trained: Path, evaluated: tuple[Path, Outcome], tmp_path: Path
):
    folder = run_of(evaluated, tmp_path / "run")
    (folder / "evaluate" / "items.json").write_text('{"texts": [{"id": 1}]}')
    with pytest.raises(StoreError, match="evaluated items is damaged"):
        exported(trained, folder, evaluated)
    (folder / "evaluate" / "items.json").write_bytes(
        (evaluated[0] / "evaluate" / "items.json").read_bytes()
    )
    (folder / "evaluate" / "measured.json").write_text("{}")
    with pytest.raises(StoreError, match="tuned model are damaged"):
        exported(trained, folder, evaluated)


def test_the_card_has_files_licences_scores_and_provenance(whole: tuple[Outcome, Path]):
    card = (whole[1] / "README.md").read_text()
    assert "| gguf/so8t-ja-Q8_0.gguf |" in card
    assert "| CC-BY-4.0 | 7 |" in card
    assert "| a\\|b &lt;i> | 1 |" in card
    assert "| tuned against base | documents, bits per byte |" in card
    assert "| Q8_0 against tuned | documents, bits per byte |" in card
    assert "| train | digest of train |" in card
    for path in (whole[1] / "README.md", whole[1] / "folded" / "README.md"):
        header = ModelCard.load(path).data
        assert (header.library_name, header.language) == ("transformers", "ja")
        assert path in whole[0].outputs


def test_the_folded_folder_has_a_card_of_its_own(whole: tuple[Outcome, Path]):
    card = (whole[1] / "folded" / "README.md").read_text()
    assert f"{whole[0].figures['proof']['relative']:.1e} of their scale" in card
    assert "# so8t-ja\n" in card


def test_what_ollama_needs_lies_beside_the_modelfile(whole: tuple[Outcome, Path]):
    recipe = json.loads((whole[1] / "ollama.json").read_text())
    assert recipe["gguf"] == "gguf/so8t-ja-Q8_0.gguf"
    assert recipe["template"] in (whole[1] / "Modelfile").read_text()
    assert whole[1] / "ollama.json" in whole[0].outputs

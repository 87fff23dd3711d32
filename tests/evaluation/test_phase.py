from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from so8t_core.contract.errors import DataError, InputMissing, ModelError
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.tasks import TaskName
from so8t_core.evaluation.models import load_tuned
from so8t_core.model.base import digest_of
from so8t_core.phases.base import HardPause, Outcome
from so8t_core.phases.evaluate import run
from so8t_tui.amounts import measured
from so8t_tui.locale import Words
from tests.evaluation.benchmarks import PLACES, write_benchmarks
from tests.evaluation.trial import (
    TINY_EVALUATION,
    PausingGate,
    build_trained,
    context,
    own_base_context,
    write_test_split,
)


def evaluate(inputs: Path, folder: Path, **changed: Any) -> Outcome:
    return run(context(inputs, folder, "evaluate", **{**TINY_EVALUATION, **changed}))


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return evaluate(trained, folder), folder


def test_every_figure_is_in_results_json(whole: tuple[Outcome, Path]):
    outcome, folder = whole
    results = json.loads((folder / "evaluate" / "results.json").read_text())
    assert results == {k: v for k, v in outcome.figures.items() if k != "speed"}
    documents = results["documents"]
    assert documents["items"] == 8
    assert documents["bits_per_byte"]["base"]["value"] > 0
    assert results["answers"]["independent_groups"] == 5
    assert results["answer_form"]["tuned"]["prompts"] == 3
    assert results["left_out"] == {"documents_beyond_limit": 2, "pairs_beyond_limit": 1}


def test_a_training_on_a_base_of_one_s_own_is_compared_with_that_base(
    trained: Path, whole: tuple[Outcome, Path], tmp_path: Path
):
    """The checkpoint's gates are the identity, so its figures are those of the base it came from."""
    outcome = run(own_base_context(trained, tmp_path, "evaluate", **TINY_EVALUATION))
    for side in ("base", "tuned"):
        found, expected = (
            figures["documents"]["bits_per_byte"][side]["value"]
            for figures in (outcome.figures, whole[0].figures)
        )
        assert found == pytest.approx(expected, rel=1e-5)
    checkpoint = trained / "integrate" / "checkpoint"
    assert outcome.extra_inputs == {"base_model": digest_of(checkpoint)}


def test_samples_show_both_answers(whole: tuple[Outcome, Path]):
    samples = json.loads((whole[1] / "evaluate" / "samples.json").read_text())
    assert len(samples) == 2
    for sample in samples:
        assert set(sample["base"]) == set(sample["tuned"]) >= {"text", "valid"}


@pytest.mark.parametrize("pause_at", [1, 2, 9, 20, 33, 47, 60])
def test_a_run_that_was_left_anywhere_ends_with_the_same_result(
    trained: Path, whole: tuple[Outcome, Path], tmp_path: Path, pause_at: int
):
    gate = PausingGate(pause_at)
    with pytest.raises(HardPause):
        run(context(trained, tmp_path, "evaluate", pause=gate, **TINY_EVALUATION))
    outcome = evaluate(trained, tmp_path)
    assert outcome.digest == whole[0].digest
    for name in ("results.json", "samples.json"):
        ours, theirs = (folder / "evaluate" / name for folder in (tmp_path, whole[1]))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_finished_item_is_never_measured_again(
    trained: Path, whole: tuple[Outcome, Path], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("so8t_core.phases.evaluate.load_base", refuse)
    monkeypatch.setattr("so8t_core.phases.evaluate.load_tuned", refuse)
    assert evaluate(trained, whole[1]).digest == whole[0].digest


def test_other_settings_measure_anew(trained: Path, whole: tuple[Outcome, Path], tmp_path: Path):
    evaluate(trained, tmp_path, max_new_tokens=4)
    assert evaluate(trained, tmp_path).digest == whole[0].digest


def test_a_broken_model_is_worse(tmp_path: Path):
    broken = build_trained(tmp_path / "broken", spread=1.0)
    outcome = evaluate(broken, tmp_path / "run")
    assert outcome.figures["documents"]["verdict"] == "worse"


def test_a_model_without_numbers_ends_the_phase_by_its_name(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = load_tuned

    def broken(*given: Any, **options: Any) -> Any:
        model = real(*given, **options)
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
        return model

    monkeypatch.setattr("so8t_core.phases.evaluate.load_tuned", broken)
    with pytest.raises(ModelError, match=r"The model is broken[^$]*tuned: "):
        evaluate(trained, tmp_path / "run")


def test_an_untouched_model_is_not_different(tmp_path: Path):
    same = build_trained(tmp_path / "same", spread=0.0)
    outcome = evaluate(same, tmp_path / "run")
    assert outcome.figures["documents"]["verdict"] == "no difference shown"
    assert outcome.figures["documents"]["bits_per_byte"]["difference"]["value"] == 0.0


def test_too_few_answers_are_said_to_show_nothing(trained: Path, whole: tuple[Outcome, Path]):
    assert whole[0].figures["answers"]["verdict"] == "no difference shown"
    assert any("independent groups of answers" in note for note in whole[0].notes)


def test_an_empty_test_split_is_an_error(trained: Path, tmp_path: Path):
    ctx = context(trained, tmp_path, "evaluate", **TINY_EVALUATION)
    (tmp_path / "cleanse").unlink()
    write_test_split(tmp_path / "cleanse", documents=0, pairs=0)
    with pytest.raises(DataError, match="neither documents nor instruction pairs"):
        run(ctx)


def test_a_skipped_training_is_named(trained: Path, tmp_path: Path):
    ctx = context(trained, tmp_path, "evaluate", **TINY_EVALUATION)
    inputs = {name: manifest for name, manifest in ctx.inputs.items() if name != "train"}
    object.__setattr__(ctx, "inputs", inputs)
    with pytest.raises(InputMissing, match="needs the result of train"):
        run(ctx)


def test_a_model_without_tokenizer_is_named(trained: Path, tmp_path: Path):
    ctx = context(trained, tmp_path, "evaluate", **TINY_EVALUATION)
    (tmp_path / "integrate").unlink()
    target = tmp_path / "integrate" / "checkpoint"
    target.mkdir(parents=True)
    for file in (trained / "integrate" / "checkpoint").iterdir():
        if "token" not in file.name:
            (target / file.name).symlink_to(file)
    with pytest.raises(ModelError, match="no tokenizer"):
        run(ctx)


@pytest.fixture(scope="module")
def with_tasks(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    pytest.importorskip("lm_eval")
    folder = tmp_path_factory.mktemp("tasks")
    return evaluate(trained, folder, **task_settings(folder / "data")), folder


def task_settings(folder: Path) -> dict[str, Any]:
    data = write_benchmarks(folder)
    common = {"shots": 1, "max_items": 3, "max_new_tokens": 4}
    return {
        "tasks": [
            {"name": name, "data": str(data / PLACES[name]), **common}
            for name in ("jcommonsenseqa", "jsquad")
        ],
        "safety": {
            "xstest": str(data / "xstest.csv"),
            "max_prompts": 4,
            "max_labelled": 0,
            "max_new_tokens": 3,
        },
        "max_documents": 1,
        "max_answers": 0,
        "max_prompts": 1,
    }


def test_benchmarks_have_a_figure_for_each_metric_and_side(with_tasks: tuple[Outcome, Path]):
    tasks = with_tasks[0].figures["tasks"]
    assert tasks["jcommonsenseqa"]["items"] == 3
    assert tasks["jcommonsenseqa"]["examples"] == 1
    for side in ("base", "tuned", "difference"):
        assert len(tasks["jcommonsenseqa"]["accuracy"][side]["interval"]) == 2
        assert {"exact_match", "character_f1"} <= set(tasks["jsquad"])
    assert tasks["jsquad"]["verdict"] == "no difference shown"
    refusals = with_tasks[0].figures["refusals"]
    assert refusals["unsafe"]["should_refuse"] is True
    assert refusals["safe"]["prompts"] == 2
    assert set(with_tasks[0].extra_inputs) == {
        "base_model", "benchmark_jcommonsenseqa", "benchmark_jsquad", "benchmark_xstest",
    }  # fmt: skip


def test_the_interface_has_a_japanese_label_for_every_figure(
    whole: tuple[Outcome, Path], with_tasks: tuple[Outcome, Path]
):
    names = {*get_args(TaskName), *(label.value.lower() for label in SafetyLabel)}
    labels = {name.replace("_", " ") for name in names}
    for outcome, folder in (whole, with_tasks):
        told = json.loads((folder / "evaluate" / "results.json").read_text())
        labels |= set(labels_of({**told, "speed": outcome.figures["speed"]}))
    assert sorted(label for label in labels if Words("ja")(label) == label) == []


def labels_of(figures: dict[str, Any]) -> Iterator[str]:
    """What the panel calls each key, lists and whole texts aside."""
    for key, value in figures.items():
        yield measured(key, value)[0]
        if isinstance(value, dict):
            yield from labels_of(value)
        if key == "verdict":
            yield value


@pytest.mark.parametrize("pause_at", [5, 22, 31, 50])
def test_a_run_with_benchmarks_that_was_left_anywhere_ends_the_same(
    trained: Path, with_tasks: tuple[Outcome, Path], tmp_path: Path, pause_at: int
):
    settings = {**TINY_EVALUATION, **task_settings(with_tasks[1] / "data")}
    with pytest.raises(HardPause):
        run(context(trained, tmp_path, "evaluate", pause=PausingGate(pause_at), **settings))
    outcome = run(context(trained, tmp_path, "evaluate", **settings))
    assert outcome.digest == with_tasks[0].digest
    ours, theirs = (folder / "evaluate" / "measured.json" for folder in (tmp_path, with_tasks[1]))
    assert ours.read_bytes() == theirs.read_bytes()


def test_benchmarks_without_their_harness_are_refused_before_anything_is_measured(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("so8t_core.evaluation.tasks.find_spec", lambda name: None)
    with pytest.raises(InputMissing, match="lm-evaluation-harness"):
        evaluate(trained, tmp_path, **task_settings(tmp_path / "data"))
    assert not (tmp_path / "evaluate" / "items.jsonl").exists()

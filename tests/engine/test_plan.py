"""The plan decides from manifests, settings and inputs, never from files that merely exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from so8t_core.contract.config import load_settings, phase_settings_digest
from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.phases import SPEC, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.engine.plan import decide, needs_of, prepare_folder
from so8t_core.model.base import digest_of
from so8t_core.model.tiny import build_tiny
from so8t_core.phases.external import external_inputs


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    build_tiny(folder, seed=1)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def write_manifest(
    run: RunDir, settings, inputs: dict[str, str], phase: PhaseName = "verify"
) -> None:
    folder = run.phase(phase)
    folder.mkdir(parents=True)
    Manifest(
        phase=phase, run=run.name, inputs=inputs, digest="d", outputs=(), figures={}, attempt=1,
        settings_sha256=phase_settings_digest(settings, SPEC[phase]),
        started_at=utc_now(), finished_at=utc_now(), active_s=0.0,
    ).write(folder)  # fmt: skip


def test_a_base_model_that_changed_in_its_folder_is_verified_again(base: Path, run: RunDir):
    settings = load_settings(None, [f"model.base={base}"])
    write_manifest(run, settings, {"base_model": digest_of(base)})
    assert decide(run, settings, SPEC["verify"]).action == "reuse"
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    assert decide(run, settings, SPEC["verify"]).reason == "base model changed"


def test_what_is_done_stays_done_while_its_base_is_out_of_reach_and_that_is_told(
    base: Path, run: RunDir
):
    settings = load_settings(None, [f"model.base={base}"])
    write_manifest(run, settings, {"base_model": digest_of(base)})
    base.rename(base.with_name("elsewhere"))
    decision = decide(run, settings, SPEC["verify"])
    assert (decision.action, decision.uncertain) == ("reuse", True)
    assert str(base) in decision.reason


def test_an_evaluation_of_before_bases_were_recorded_says_why_it_runs_again(
    base: Path, run: RunDir
):
    settings = load_settings(None, [f"model.base={base}"])
    write_manifest(run, settings, {}, "evaluate")
    reason = decide(run, settings, SPEC["evaluate"]).reason
    assert reason == "base model was not recorded when it was made"


@pytest.mark.parametrize("name", ["dataset", "validation_dataset"])
def test_training_runs_again_where_its_data_changed_and_not_where_it_is_gone(
    base: Path, run: RunDir, tmp_path: Path, name: str
):
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "one"}\n')
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "other"}\n')
    places = {"dataset": other, "validation_dataset": other, name: data}
    settings = load_settings(
        None,
        [f"train.model_path={base}", *(f"train.{key}={place}" for key, place in places.items())],
    )
    outside = external_inputs("train", settings)
    assert outside.keys() == {"base_model", "dataset", "validation_dataset"}
    write_manifest(run, settings, outside, "train")
    assert decide(run, settings, SPEC["train"]).action == "reuse"
    data.write_text('{"text": "two"}\n')
    assert decide(run, settings, SPEC["train"]).reason == f"{name.replace('_', ' ')} changed"
    data.unlink()
    decision = decide(run, settings, SPEC["train"])
    assert (decision.action, decision.uncertain) == ("reuse", True)
    assert decision.reason.endswith(f"was not compared: The data set is not there. ({data})")


def test_training_runs_again_where_its_own_base_changed_and_not_where_it_is_gone(
    base: Path, run: RunDir
):
    settings = load_settings(None, [f"train.model_path={base}", "train.dataset=hub:owner/name"])
    write_manifest(run, settings, external_inputs("train", settings), "train")
    assert decide(run, settings, SPEC["train"]).action == "reuse"
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    assert decide(run, settings, SPEC["train"]).reason == "base model changed"
    base.rename(base.with_name("elsewhere"))
    decision = decide(run, settings, SPEC["train"])
    assert (decision.action, decision.uncertain) == ("reuse", True)
    assert decision.reason.endswith(f"was not compared: There is no model to train. ({base})")


def test_a_cleansing_whose_earlier_run_or_classifier_is_gone_is_uncertain(
    run: RunDir, tmp_path: Path
):
    for setting in ("earlier_runs", "safety_classifier"):
        value = tmp_path / setting
        given = f"[{value}]" if setting == "earlier_runs" else f"{value}"
        settings = load_settings(None, [f"cleanse.{setting}={given}"])
        place = RunDir(tmp_path / f"run-{setting}")
        write_manifest(place, settings, {}, "cleanse")
        decision = decide(place, settings, SPEC["cleanse"])
        assert decision.uncertain
        assert str(value) in decision.reason


def test_phases_that_read_no_base_have_no_external_inputs(base: Path):
    settings = load_settings(None, [f"model.base={base}"])
    for name in ("verify", "integrate", "evaluate"):
        assert external_inputs(name, settings).keys() == {"base_model"}
    assert external_inputs("train", settings) == {}


def test_training_needs_no_phase_that_its_settings_replace(tmp_path: Path):
    given = [f"train.model_path={tmp_path}", f"train.dataset={tmp_path}"]
    assert needs_of(load_settings(None, given), SPEC["train"]) == ()
    assert needs_of(load_settings(None, given[:1]), SPEC["train"]) == ("cleanse",)
    assert needs_of(load_settings(None), SPEC["train"]) == ("cleanse", "integrate")
    assert needs_of(load_settings(None, given), SPEC["evaluate"]) == ("cleanse", "train")
    assert needs_of(load_settings(None, given), SPEC["export"]) == ("train",)


@pytest.mark.parametrize("name", ["verify", "integrate"])
def test_a_whole_run_leaves_out_what_a_base_of_one_s_own_replaces(
    run: RunDir, tmp_path: Path, name: PhaseName
):
    own = load_settings(None, [f"train.model_path={tmp_path}"])
    assert decide(run, own, SPEC[name], whole=True).action == "skip"
    assert decide(run, own, SPEC[name]).action == "run"  # asked for by its name
    assert decide(run, load_settings(None), SPEC[name], whole=True).action == "run"


def test_changed_settings_make_a_phase_run_again(run: RunDir):
    settings = load_settings(None, ["model.base=tiny"])
    write_manifest(run, settings, {})
    assert decide(run, settings, SPEC["verify"]).action == "reuse"
    other = load_settings(None, ["model.base=tiny", "model.gate.layers=0-1"])
    assert decide(run, other, SPEC["verify"]).reason == "its settings changed"


def test_work_begun_on_another_basis_is_removed_and_on_the_same_kept(run: RunDir):
    settings = load_settings(None, ["model.base=tiny"])
    assert not prepare_folder(run, settings, SPEC["verify"])
    (run.phase("verify") / "half-done").write_text("work")
    assert not prepare_folder(run, settings, SPEC["verify"])
    assert (run.phase("verify") / "half-done").exists()
    other = load_settings(None, ["model.base=tiny", "seed=7"])
    assert prepare_folder(run, other, SPEC["verify"])
    assert not (run.phase("verify") / "half-done").exists()

"""The plan decides from manifests, settings and inputs, never from files that merely exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from so8t_core.contract.config import load_settings, phase_settings_digest
from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.phases import SPEC
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


def write_manifest(run: RunDir, settings, inputs: dict[str, str]) -> None:
    folder = run.phase("verify")
    folder.mkdir(parents=True)
    Manifest(
        phase="verify", run=run.name, inputs=inputs, digest="d", outputs=(), figures={}, attempt=1,
        settings_sha256=phase_settings_digest(settings, SPEC["verify"]),
        started_at=utc_now(), finished_at=utc_now(), active_s=0.0,
    ).write(folder)  # fmt: skip


def test_a_base_model_that_changed_in_its_folder_is_verified_again(base: Path, run: RunDir):
    settings = load_settings(None, [f"model.base={base}"])
    write_manifest(run, settings, {"base_model": digest_of(base)})
    assert decide(run, settings, SPEC["verify"]).action == "reuse"
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    assert decide(run, settings, SPEC["verify"]).reason == "base model changed"


def test_phases_that_read_no_base_have_no_external_inputs(base: Path):
    settings = load_settings(None, [f"model.base={base}"])
    assert external_inputs("verify", settings).keys() == {"base_model"}
    assert external_inputs("train", settings) == {}


def test_training_needs_no_phase_that_its_settings_replace(tmp_path: Path):
    given = [f"train.model_path={tmp_path}", f"train.dataset={tmp_path}"]
    assert needs_of(load_settings(None, given), SPEC["train"]) == ()
    assert needs_of(load_settings(None, given[:1]), SPEC["train"]) == ("cleanse",)
    assert needs_of(load_settings(None), SPEC["train"]) == ("cleanse", "integrate")


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

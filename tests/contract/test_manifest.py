"""A manifest is trusted only as it was sealed, and only beside the files that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from so8t_core.contract.errors import ManifestError
from so8t_core.contract.manifest import FILE_NAME, FileRecord, Manifest, utc_now


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    (tmp_path / "out.txt").write_text("result")
    return Manifest(
        phase="crawl", run="a", settings_sha256="0", inputs={}, digest="1",
        outputs=(FileRecord.of(tmp_path, tmp_path / "out.txt"),), figures={"pages": 3},
        attempt=1, started_at=utc_now(), finished_at=utc_now(), active_s=1.5,
    )  # fmt: skip


def test_what_is_written_is_read_back_sealed(tmp_path: Path, manifest: Manifest):
    manifest.write(tmp_path)
    read = Manifest.read(tmp_path)
    assert read == manifest.sealed()
    read.check_outputs(tmp_path)


def test_no_file_is_no_manifest(tmp_path: Path):
    assert Manifest.read(tmp_path) is None


def test_a_changed_figure_breaks_the_seal(tmp_path: Path, manifest: Manifest):
    manifest.write(tmp_path)
    raw = json.loads((tmp_path / FILE_NAME).read_text())
    raw["figures"]["pages"] = 4
    (tmp_path / FILE_NAME).write_text(json.dumps(raw))
    with pytest.raises(ManifestError, match="changed after"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"phase": "crawl"}', '{"schema_version": "x"}',
     '{"schema_version": null}', "\x00", "[" * 200_000],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_damage_is_named(tmp_path: Path, text: str):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ManifestError):
        Manifest.read(tmp_path)


def test_a_newer_version_is_named(tmp_path: Path, manifest: Manifest):
    manifest.model_copy(update={"schema_version": 99}).write(tmp_path)
    with pytest.raises(ManifestError, match="newer version"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["longer result", "tamper"])
def test_a_changed_or_missing_output_is_named(tmp_path: Path, manifest: Manifest, text: str):
    (tmp_path / "out.txt").write_text(text)
    with pytest.raises(ManifestError, match="was changed"):
        manifest.check_outputs(tmp_path)
    (tmp_path / "out.txt").unlink()
    with pytest.raises(ManifestError, match="missing"):
        manifest.check_outputs(tmp_path)


def test_a_folder_in_its_place_is_named(tmp_path: Path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ManifestError):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("value", ["NaN", "1e999", "[" * 400 + "]" * 400, '"\\ud800"'])
def test_a_figure_that_cannot_be_hashed_is_named(tmp_path: Path, manifest: Manifest, value: str):
    manifest.write(tmp_path)
    text = (tmp_path / FILE_NAME).read_text()
    assert '"pages": 3' in text
    (tmp_path / FILE_NAME).write_text(text.replace('"pages": 3', f'"pages": {value}'))
    with pytest.raises(ManifestError):
        Manifest.read(tmp_path)

"""What a folder tells of where its model came from."""

from __future__ import annotations

from pathlib import Path

from so8t_core import __version__
from so8t_core.model.provenance import Provenance

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_in_the_hubs_cache_names_model_and_commit(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--some-owner--Phi--3" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    assert Provenance.of(folder) == Provenance(
        "some-owner/Phi--3", str(folder), COMMIT, f"so8t {__version__}"
    )


def test_a_download_into_a_folder_has_its_commit_on_record(tmp_path: Path) -> None:
    records = tmp_path / "phi" / ".cache" / "huggingface" / "download"
    records.mkdir(parents=True)
    record = records / "config.json.metadata"
    record.write_text(f"{COMMIT}\nan-etag\n1764000000.0\n")
    found = Provenance.of(tmp_path / "phi")
    assert (found.base, found.base_revision) == ("phi", COMMIT)
    record.write_bytes(b"\xff nonsense")
    assert Provenance.of(tmp_path / "phi").base_revision is None


def test_a_folder_that_only_looks_like_the_cache_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "models--owner--name" / "snapshots" / "mine"
    folder.mkdir(parents=True)
    found = Provenance.of(folder)
    assert (found.base, found.base_revision) == ("mine", None)

"""A phase's manifest: the proof that it is done, and the only source of a report's figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from so8t_core.contract.errors import ManifestError
from so8t_core.contract.files import canonical_json, sha256_file, sha256_text, write_json
from so8t_core.contract.phases import PhaseName

BASE_MODEL = "base_model"
"""Among the inputs of a phase: the digest of the base that it took from outside the run."""
SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


class FileRecord(BaseModel):
    """One output file: `path` relative to the phase's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, folder: Path, path: Path) -> FileRecord:
        """Measure and hash `path`, which lies below `folder`."""
        return cls(
            path=path.relative_to(folder).as_posix(),
            size_bytes=path.stat().st_size,
            sha256=sha256_file(path),
        )


class Manifest(BaseModel):
    """What a phase did.

    `inputs` maps the name of each input (a phase, or `base_model`) to its digest; `digest` is the
    identity of this phase's own result, independent of times and of how often it was killed;
    `figures` holds every number that a report or a panel shows; `notes` what a reader must know,
    each fallback among them. `manifest_sha256` covers all other fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    phase: PhaseName
    run: str
    settings_sha256: str
    inputs: dict[str, str]
    digest: str
    outputs: tuple[FileRecord, ...]
    figures: dict[str, Any]
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    attempt: int
    started_at: datetime
    finished_at: datetime
    active_s: float
    manifest_sha256: str = ""

    def sealed(self) -> Manifest:
        """The same manifest with its own hash filled in."""
        return self.model_copy(update={"manifest_sha256": self._own_hash()})

    def _own_hash(self) -> str:
        return sha256_text(
            canonical_json(self.model_dump(mode="json", exclude={"manifest_sha256"}))
        )

    def write(self, folder: Path) -> None:
        """Write it durably into the phase's folder, sealed."""
        write_json(folder / FILE_NAME, self.sealed().model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """Read the manifest of a phase's folder; None where there is none.

        Raises `ManifestError` when it is damaged or of a newer version, whatever its bytes are.
        """
        path = folder / FILE_NAME
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise ManifestError(
                "The manifest cannot be read as JSON.",
                where=str(path),
                hint="Remove it; the phase will run again.",
            ) from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ManifestError(
                "The manifest was written by a newer version of so8t.",
                where=str(path),
                hint="Update so8t, or remove the manifest to run the phase again.",
            )
        try:
            manifest = cls.model_validate(raw)
            own_hash = manifest._own_hash()
        except (ValueError, RecursionError) as error:
            raise ManifestError(
                "The manifest lacks fields or has wrong ones.",
                where=str(path),
                hint="Remove it; the phase will run again.",
            ) from error
        if manifest.manifest_sha256 != own_hash:
            raise ManifestError(
                "The manifest was changed after it was written.",
                where=str(path),
                hint="Remove it; the phase will run again.",
            )
        return manifest

    def check_outputs(self, folder: Path, *, hashes: bool = True) -> None:
        """Raise `ManifestError` unless every output file is there, unchanged."""
        for record in self.outputs:
            path = folder / record.path
            if not path.is_file():
                raise ManifestError(
                    "An output of the phase is missing.",
                    where=str(path),
                    hint="Resume the run; the phase will run again.",
                )
            if path.stat().st_size != record.size_bytes or (
                hashes and sha256_file(path) != record.sha256
            ):
                raise ManifestError(
                    "An output of the phase was changed.",
                    where=str(path),
                    hint="Resume the run; the phase will run again.",
                )


def utc_now() -> datetime:
    """The present, with its zone."""
    return datetime.now(UTC)

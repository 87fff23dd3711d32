"""A run whose manifests are made up: every number is one that occurs nowhere else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so8t_core.contract.manifest import FileRecord, Manifest
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.phases.base import PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter

MOMENT = datetime(2031, 5, 7, 11, 13, 17, tzinfo=UTC)

FIGURES: dict[PhaseName, dict[str, Any]] = {
    "crawl": {
        "pages_kept": 4409,
        "warc_size_bytes": 7_654_321,
        "not_fetched_reasons": {"robots": 71, "trap": 83},
        "hosts": [{"host": "a.example", "pages": 4019}, {"host": "b.example", "pages": 397}],
    },
    "cleanse": {
        "documents_kept": 3701,
        "kept_share": 0.5077,
        "drops": {"too_short": 613, "mojibake": 617, "作りもの": 619},
        "splits": {
            "train": {"documents": 3301, "bytes": 991_001},
            "test": {"documents": 307, "bytes": 33_113},
        },
    },
    "evaluate": {
        "bits_per_byte": {
            "base": {"value": 1.8311, "interval": [1.8013, 1.8609]},
            "tuned": {"value": 1.0487, "interval": [1.0211, 1.0763]},
        },
        "format_valid": True,
        "unmeasured": None,
    },
    "train": {"steps": 3, "final_loss": 2.125, "weight_groups": []},
}


def write_series(folder: Path) -> Path:
    """Three steps of a training."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "series.jsonl"
    lines = [
        {"step": step, "loss": loss, "learning_rate": rate}
        for step, loss, rate in ((1, 3.5, 1e-4), (2, 2.75, 2e-4), (3, 2.125, 1e-4))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def make_manifest(
    folder: Path,
    phase: PhaseName,
    figures: dict[str, Any],
    *,
    outputs: tuple[Path, ...] = (),
    notes: tuple[str, ...] = (),
) -> Manifest:
    """Write a sealed manifest and give it back as it is read."""
    folder.mkdir(parents=True, exist_ok=True)
    Manifest(
        phase=phase,
        run=folder.parent.name,
        settings_sha256="5e" * 32,
        inputs={},
        digest=f"{len(phase):02x}" * 32,
        outputs=tuple(FileRecord.of(folder, path) for path in outputs),
        figures=figures,
        notes=notes,
        versions={"torch": "2.13.0"},
        attempt=1,
        started_at=MOMENT,
        finished_at=MOMENT,
        active_s=12.5,
    ).write(folder)
    read = Manifest.read(folder)
    assert read is not None
    return read


def make_run(
    root: Path,
    figures: dict[PhaseName, dict[str, Any]] | None = None,
    *,
    notes: tuple[str, ...] = (),
) -> tuple[RunDir, dict[PhaseName, Manifest]]:
    """A run with a manifest for each phase that has figures."""
    run = RunDir(root / "made-run")
    manifests: dict[PhaseName, Manifest] = {}
    for phase, content in (figures or FIGURES).items():
        outputs = (write_series(run.phase(phase)),) if phase == "train" else ()
        manifests[phase] = make_manifest(
            run.phase(phase), phase, content, outputs=outputs, notes=notes
        )
    return run, manifests


def context(run: RunDir, manifests: dict[PhaseName, Manifest], **report: Any) -> PhaseContext:
    """The context of a report phase over those manifests."""
    settings = Settings.model_validate({"report": report, "engine": {"skip": ["verify"]}})
    return PhaseContext(
        run=run,
        phase="report",
        settings=settings,
        inputs=manifests,
        emit=RecordingEmitter(),
        pause=OpenGate(),
    )

"""The report as JSON: every figure with its origin, and the check that the origins hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.reporting.catalogue import Catalogue
from so8t_core.reporting.document import Curve, Figure, Report

SCHEMA_VERSION = 1


def to_json(
    report: Report,
    catalogue: Catalogue,
    manifests: Mapping[PhaseName, Manifest],
    states: Mapping[PhaseName, str],
    seed: int,
) -> dict[str, Any]:
    """The report for programs.

    `figures` holds all that the report shows, each with phase, key path in that phase's manifest,
    the manifest's own hash, the exact value and the value as shown; `curves` name the hashed file
    that each curve was read from.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "title": report.title.text,
        "language": report.language,
        "settings": {"seed": seed},
        "phases": {phase: _phase(states[phase], manifests.get(phase)) for phase in states},
        "figures": [_traced(figure, catalogue) for figure in report.figures()],
        "curves": [_sourced(curve) for curve in report.curves()],
        "notes": {phase: list(manifest.notes) for phase, manifest in manifests.items()},
    }


def untraced(report: Mapping[str, Any], run: RunDir) -> list[str]:
    """A line for each figure or curve of a report.json that the run's manifests do not bear out.

    Raises `ManifestError` when a manifest is damaged.
    """
    manifests = {name: Manifest.read(run.phase(name)) for name in PHASE_NAMES}
    faults: list[str] = []
    for figure in report["figures"]:
        manifest = manifests[figure["phase"]]
        place = f"{figure['phase']} {'.'.join(map(str, figure['path']))}"
        if manifest is None or manifest.manifest_sha256 != figure["manifest_sha256"]:
            faults.append(f"{place}: the manifest is not the one that was read")
        elif not _bears_out(manifest, figure["path"], figure["value"]):
            faults.append(f"{place}: the manifest says something else")
    for curve in report["curves"]:
        manifest = manifests[curve["phase"]]
        recorded = {} if manifest is None else {item.path: item.sha256 for item in manifest.outputs}
        if recorded.get(curve["path"]) != curve["sha256"]:
            faults.append(f"{curve['phase']} {curve['path']}: not the file that was recorded")
    return faults


def _bears_out(manifest: Manifest, path: list[str | int], expected: Any) -> bool:
    value: Any = manifest.model_dump(mode="json")
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(value == expected and type(value) is type(expected))


def _phase(state: str, manifest: Manifest | None) -> dict[str, str]:
    if manifest is None:
        return {"state": state}
    return {
        "state": state,
        "digest": manifest.digest,
        "settings_sha256": manifest.settings_sha256,
        "manifest_sha256": manifest.manifest_sha256,
    }


def _traced(figure: Figure, catalogue: Catalogue) -> dict[str, Any]:
    return {
        "phase": figure.phase,
        "path": list(figure.path),
        "value": figure.value,
        "shown": catalogue.value(figure),
        "manifest_sha256": figure.manifest_sha256,
    }


def _sourced(curve: Curve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "phase": curve.source.phase,
        "path": curve.source.path,
        "sha256": curve.source.sha256,
        "manifest_sha256": curve.source.manifest_sha256,
    }

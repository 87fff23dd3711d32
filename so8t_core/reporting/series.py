"""The training curves, read only from the very files that train hashed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import ManifestError
from so8t_core.contract.files import sha256_text
from so8t_core.contract.manifest import FileRecord, Manifest
from so8t_core.reporting.document import Source

SERIES_FILES = ("series.jsonl", "evaluations.jsonl")
"""One line an optimiser step, and one line an evaluation during training."""

Points = tuple[tuple[int, float], ...]
Series = tuple[Source, Mapping[str, Points]]
"""One file, and its series by name as (step, value) with ascending steps."""


def read_all_series(folder: Path, manifest: Manifest) -> tuple[Series, ...]:
    """The series of each file that the manifest records.

    Values that are not finite are left out. Raises `ManifestError` when a recorded file is
    missing, changed, or not what it should be.
    """
    recorded = {record.path: record for record in manifest.outputs}
    return tuple(
        _read_series(folder / name, recorded[name], manifest)
        for name in SERIES_FILES
        if name in recorded
    )


def _read_series(path: Path, record: FileRecord, manifest: Manifest) -> Series:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise _refused("The series that training recorded are missing.", path) from error
    except UnicodeDecodeError as error:
        raise _refused("The series that training recorded are not UTF-8.", path) from error
    if sha256_text(text) != record.sha256:
        raise _refused("The series were changed after training recorded their hash.", path)
    series: dict[str, list[tuple[int, float]]] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        entry = _entry(line, path, number)
        step = entry.pop("step")
        for name, value in entry.items():
            if _is_number(value) and math.isfinite(value):
                points = series.setdefault(name, [])
                if points and points[-1][0] >= step:
                    raise _refused(f"Line {number} goes back to step {step}.", path)
                points.append((step, float(value)))
    source = Source("train", record.path, record.sha256, manifest.manifest_sha256)
    return source, {name: tuple(points) for name, points in series.items()}


def thinned(points: Points, columns: int) -> Points:
    """At most about 2 x `columns` points: the least and the greatest value of each column.

    Short series are kept whole, and the first and last points always.
    """
    if len(points) <= columns:
        return points
    width = math.ceil(len(points) / columns)
    kept = {points[0], points[-1]}
    for start in range(0, len(points), width):
        column = points[start : start + width]
        kept.add(min(column, key=lambda point: point[1]))
        kept.add(max(column, key=lambda point: point[1]))
    return tuple(sorted(kept))


def _entry(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise _refused(f"Line {number} is not JSON.", path) from error
    step = entry.get("step") if isinstance(entry, dict) else None
    if not isinstance(step, int) or isinstance(step, bool):
        raise _refused(f"Line {number} has no whole number as its step.", path)
    return dict(entry)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refused(what: str, path: Path) -> ManifestError:
    return ManifestError(
        what, where=str(path), hint="Remove train/manifest.json and resume: train will run again."
    )

"""The training curves, read from `series.jsonl` only when it is the file that train hashed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import ManifestError
from so8t_core.contract.files import sha256_text
from so8t_core.contract.manifest import Manifest
from so8t_core.reporting.document import Source

FILE_NAME = "series.jsonl"

Points = tuple[tuple[int, float], ...]


def read_series(folder: Path, manifest: Manifest) -> tuple[Source, Mapping[str, Points]] | None:
    """Every series of the training, by name, as (step, value) with ascending steps.

    None where the manifest records no such file. Values that are not finite are left out.
    Raises `ManifestError` when the file is missing, changed, or not what it should be.
    """
    record = next((item for item in manifest.outputs if item.path == FILE_NAME), None)
    if record is None:
        return None
    path = folder / FILE_NAME
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise _refused("The series that training recorded are missing.", path) from error
    except UnicodeDecodeError as error:
        raise _refused("The series that training recorded are not UTF-8.", path) from error
    if sha256_text(text) != record.sha256:
        raise _refused("The series were changed after training recorded their hash.", path)
    series: dict[str, list[tuple[int, float]]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
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

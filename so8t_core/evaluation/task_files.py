"""Identity of the files that benchmarks come from; light, since the plan asks at each start."""

from __future__ import annotations

from pathlib import Path

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.files import canonical_json, sha256_file, sha256_text
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.contract.settings.tasks import HUB


def file_digests(settings: EvaluateSettings) -> dict[str, str]:
    """Digests by name: of each benchmark's file or folder, and of its file of examples.

    Data sets of the hub are not looked at. Raises `InputMissing` for a place that is not there.
    """
    places = {"xstest": settings.safety.xstest}
    for task in settings.tasks:
        places[task.name] = task.data
        places[f"{task.name}_examples"] = task.examples
    return {
        f"benchmark_{name}": _digest(Path(place))
        for name, place in sorted(places.items())
        if place is not None and not place.startswith(HUB)
    }


def _digest(path: Path) -> str:
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    try:
        found = [[file.name, sha256_file(file)] for file in files]
    except OSError as error:
        raise InputMissing(
            f"The file of a benchmark cannot be read ({error.strerror}).",
            where=str(error.filename),
            hint="Fetch it from its publishers, or leave it out of evaluate.tasks or "
            "evaluate.safety.",
        ) from error
    return found[0][1] if path.is_file() else sha256_text(canonical_json(found))

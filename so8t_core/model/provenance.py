"""Where a base model came from, as far as its folder tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from so8t_core import __version__
from so8t_core.model.weights import CONFIG_FILE

_CACHED = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DOWNLOADS = Path(".cache") / "huggingface" / "download"


@dataclass(frozen=True)
class Provenance:
    """`base`: the hub's name of the model, else that of its folder; `base_path`: the folder.

    `base_revision`: the commit of the hub that was downloaded, where the folder has it on record;
    `program`: ours, with its version.
    """

    base: str
    base_path: str
    base_revision: str | None
    program: str

    @classmethod
    def of(cls, folder: Path) -> Provenance:
        """Read it from the place of the folder in the hub's cache, or from a download's records."""
        place = folder.absolute()
        cached = _CACHED.fullmatch(place.parent.parent.name)
        program = f"so8t {__version__}"
        if cached and place.parent.name == "snapshots" and _COMMIT.fullmatch(place.name):
            name = f"{cached['owner']}/{cached['name']}"
            return cls(name, str(place), place.name, program)
        return cls(place.resolve().name, str(place), _downloaded(place), program)


def _downloaded(folder: Path) -> str | None:
    """The commit that `hf download --local-dir` noted for config.json, in its record's first line.

    Source: huggingface_hub's `_local_folder.py`, which writes commit, etag and time, a line each.
    """
    record = folder / _DOWNLOADS / f"{CONFIG_FILE}.metadata"
    if not record.is_file():
        return None
    noted = record.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return noted if _COMMIT.fullmatch(noted) else None

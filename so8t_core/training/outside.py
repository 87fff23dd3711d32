"""What a training takes from outside its run; light, since the plan asks at each start."""

from __future__ import annotations

from pathlib import Path

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.settings.tasks import HUB
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model.base import base_input, digest_of_file


def outside_digests(settings: TrainSettings) -> dict[str, str]:
    """Digests by name: of a base of one's own, and of the files of data.

    Data sets of the hub are not looked at. The hashes of large files are remembered, so only the
    first call after a change reads them. Raises `InputMissing` for what is not there and as
    `digest_of` does.
    """
    found: dict[str, str] = {}
    if settings.model_path is not None:
        require_model(settings.model_path)
        found = base_input(settings.model_path)
    for name in ("dataset", "validation_dataset"):
        place: str | None = getattr(settings, name)
        if place is not None and not place.startswith(HUB):
            require_file(Path(place), f"train.{name}")
            found[name] = digest_of_file(Path(place))
    return found


def require_model(folder: Path) -> None:
    """Raise `InputMissing` unless the folder holds a model."""
    if not (folder / "config.json").is_file():
        raise InputMissing(
            "There is no model to train.",
            where=str(folder),
            hint="Give the folder that `so8t integrate` wrote as `train.model_path`.",
        )


def require_file(path: Path, setting: str) -> None:
    """Raise `InputMissing` unless there is such a file of data; `setting` is what names it."""
    if not path.is_file():
        told = "is a folder, not a file" if path.is_dir() else "is not there"
        raise InputMissing(
            f"The data set {told}.", where=str(path), hint=f"Name a file in `{setting}`."
        )

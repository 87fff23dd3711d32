"""The base of every settings section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen; unknown keys are refused; every field carries prose in its `description`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""A path that a person writes relative to the current folder; kept absolute in a run."""

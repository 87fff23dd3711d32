"""The base of every settings section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

GREATEST_NUMBER = 10**12
"""No setting is larger: sums and products of settings stay far from what overflows."""


class Section(BaseModel):
    """Frozen; unknown keys are refused; every field carries prose in its `description`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _no_absurd_number(cls, value: object) -> object:
        if isinstance(value, int | float) and abs(value) > GREATEST_NUMBER:
            raise ValueError(f"must not be beyond {GREATEST_NUMBER:,}")
        return value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""A path that a person writes relative to the current folder; kept absolute in a run."""

"""What happened to a training over all its processes; figures only, never part of the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from so8t_core.contract.files import write_json

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class LostBest:
    """A step whose held-out loss was the lowest, and why its checkpoint could not be used."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    step: _Count
    reason: str


@dataclass(frozen=True)
class LostCurve:
    """A file of series whose lines up to a step were changed or lost."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    file: str
    step: _Count


@dataclass(frozen=True)
class ChangedSetting:
    """A setting (dotted) that was `before` up to a step, and `now` since; both as Python writes."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    step: _Count
    name: str
    before: str
    now: str

    def told(self) -> str:
        """The same in words."""
        return f"{self.name} was {self.before} up to step {self.step} and is {self.now} since"


@dataclass(frozen=True)
class History:
    """`starts`: processes that began; `threads`: CPU threads of the first of them.

    `lost_checkpoints`: how many had been written when a start found none of them;
    `changed_settings`: what was set otherwise on the way;
    `checkpoint_stall_s_max`: the longest that a checkpoint held the training up;
    `checkpoint_write_s_max`: the longest that one was being written beside it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    starts: _Count = 0
    threads: Annotated[int, Field(ge=1)] | None = None
    checkpoints_written: _Count = 0
    checkpoint_stall_s_max: _Seconds = 0.0
    checkpoint_write_s_max: _Seconds = 0.0
    rejected_checkpoints: tuple[str, ...] = ()
    lost_bests: tuple[LostBest, ...] = ()
    lost_curves: tuple[LostCurve, ...] = ()
    lost_checkpoints: _Count = 0
    changed_settings: tuple[ChangedSetting, ...] = ()
    train_s: _Seconds = 0.0


_STORED = TypeAdapter(History)


class HistoryFile:
    """The history, durable after each change.

    `damage`: why the stored one could not be read, or None. A new one then begins, which counts one
    start; the thread count is to be had from a checkpoint's identity.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = History()
        self.damage: str | None = None
        if path.is_file():
            try:
                self.now = _STORED.validate_json(path.read_bytes())
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(map(str, first["loc"]))
                self.damage = f"{path.name}: {place + ': ' if place else ''}{first['msg']}"
                self.now = History(starts=1)

    def change(self, **fields: object) -> None:
        """Set fields and write the file."""
        self.now = replace(self.now, **fields)  # type: ignore[arg-type]  # checked by replace
        write_json(self.path, asdict(self.now))

"""The lowest held-out loss so far, and whether it is time to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from so8t_core.contract.errors import CheckpointError, DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.checkpoint import OtherFormat, Snapshot
from so8t_core.training.history import LostBest
from so8t_core.training.surroundings import Surroundings


class EndedEarly(Exception):
    """Leaves the training loop where it has not begun a step yet."""


@dataclass
class BestWatch:
    """Hears every scheduled evaluation, in order; its state is part of a checkpoint.

    `patience`: so many evaluations in a row without a gain end the training; 0: none do. A gain is
    more than `min_delta` below `reference`, the loss at the last gain. `step` and `loss` are of the
    lowest loss, however small the gain.
    """

    patience: int
    min_delta: float
    step: int | None = None
    loss: float | None = None
    reference: float | None = None
    without_gain: int = 0

    @classmethod
    def from_settings(cls, settings: TrainSettings, state: Mapping[str, Any]) -> BestWatch:
        """As the settings say, with the state of a checkpoint, or with none (`{}`)."""
        return cls(settings.early_stopping_patience, settings.early_stopping_min_delta, **state)

    def hear(self, step: int, loss: float) -> bool:
        """Take a held-out loss after a step; True where it is the lowest so far."""
        if self.reference is None or loss < self.reference - self.min_delta:
            self.reference, self.without_gain = loss, 0
        else:
            self.without_gain += 1
        if self.loss is not None and loss >= self.loss:
            return False
        self.step, self.loss = step, loss
        return True

    def look_anew(self, step: int | None, loss: float | None) -> None:
        """Forget the lowest loss, whose weights are lost; those of this step, if any, are there.

        What early stopping counts from stays: it is about losses alone.
        """
        self.step, self.loss = step, loss

    @property
    def ended(self) -> bool:
        """Whether the training has waited long enough for a gain."""
        return 0 < self.patience <= self.without_gain

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = asdict(self)
        del kept["patience"], kept["min_delta"]
        return kept


def takes_best(settings: TrainSettings) -> bool:
    """Whether the adapter is made from the best checkpoint rather than the last."""
    if settings.adapter_from == "auto":
        return settings.early_stopping_patience > 0
    return settings.adapter_from == "best"


def kept_best(
    around: Surroundings, step: int, identity: Mapping[str, Any], instead: str
) -> Snapshot | None:
    """The checkpoint of the best step; None, told and noted, where it is damaged or not there.

    `instead`: what is done then. Raises `OtherFormat` for one that another version wrote.
    """
    try:
        return around.store.read(step, identity)
    except OtherFormat:
        raise
    except CheckpointError as error:
        lost = LostBest(step, error.what)
    around.emit.fallback(instead, f"{around.store.path(step).name}: {lost.reason}")
    known = around.history.now.lost_bests
    if lost not in known:
        around.history.change(lost_bests=(*known, lost))
    return None


def require_held_out(settings: TrainSettings, held_out: object | None) -> None:
    """Raise `DataError` where a best checkpoint is wanted and nothing measures it."""
    if held_out is None and (takes_best(settings) or settings.early_stopping_patience):
        raise DataError(
            "There are no held-out samples, so no checkpoint can be told to be the best.",
            where="train.adapter_from, train.early_stopping_patience",
            hint="Give train.validation_dataset or a larger train.validation_fraction, or set "
            "train.adapter_from: last and train.early_stopping_patience: 0.",
        )

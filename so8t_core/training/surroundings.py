"""What the trainer writes to and asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.phases.base import Emitter, PauseGate
from so8t_core.training.checkpoint import CheckpointStore
from so8t_core.training.history import HistoryFile
from so8t_core.training.ranks import Ranks, alone
from so8t_core.training.series import SeriesFile, SeriesMark
from so8t_core.training.trackers import Trackers


@dataclass(frozen=True)
class Surroundings:
    """Engine, checkpoints, series, history and trackers of one training."""

    emit: Emitter
    pause: PauseGate
    store: CheckpointStore
    series: SeriesFile
    evaluations: SeriesFile
    history: HistoryFile
    trackers: Trackers
    run_root: Path
    live: Callable[[], Mapping[str, Any]] = field(default=dict)
    """Live settings by dotted name, as last set by the user."""

    ranks: Ranks = field(default_factory=alone)
    """The other processes of this training, where there are any."""

    def wish(self, name: str) -> float | None:
        """A live setting of training as a number; None where nobody set it to one."""
        value = self.live().get(f"train.{name}")
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        return None

    def marks(self) -> dict[str, SeriesMark]:
        """How far each series has come; to be relied on after `sync`."""
        return {"series": self.series.mark(), "evaluations": self.evaluations.mark()}

    def sync(self) -> None:
        """Make the series durable."""
        self.series.sync()
        self.evaluations.sync()

    def close(self) -> None:
        """Close series and trackers."""
        self.series.close()
        self.evaluations.close()
        self.trackers.close()

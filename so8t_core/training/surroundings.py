"""What the trainer writes to and asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from so8t_core.phases.base import Emitter, PauseGate
from so8t_core.training.checkpoint import CheckpointStore
from so8t_core.training.history import HistoryFile
from so8t_core.training.series import SeriesFile, SeriesMark


@dataclass(frozen=True)
class Surroundings:
    """Engine, checkpoints, series and history of one training."""

    emit: Emitter
    pause: PauseGate
    store: CheckpointStore
    series: SeriesFile
    evaluations: SeriesFile
    history: HistoryFile
    run_root: Path

    def marks(self) -> dict[str, SeriesMark]:
        """How far each series has come, durably."""
        return {"series": self.series.mark(), "evaluations": self.evaluations.mark()}

    def close(self) -> None:
        """Close the series."""
        self.series.close()
        self.evaluations.close()

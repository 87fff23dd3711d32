"""The run directory: the one owner of every path in a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from so8t_core.contract.phases import PhaseName


@dataclass(frozen=True)
class RunDir:
    """Paths of one run. A phase owns exactly the folder of its name."""

    root: Path

    @property
    def name(self) -> str:
        """The run's name: the folder's."""
        return self.root.name

    @property
    def settings_file(self) -> Path:
        """The resolved settings."""
        return self.root / "run.yaml"

    @property
    def journal(self) -> Path:
        """SQLite journal, written by the engine alone."""
        return self.root / "journal.db"

    @property
    def snapshot(self) -> Path:
        """The journal as folded a while ago: a copy that saves watchers time."""
        return self.root / "folded.json"

    @property
    def control(self) -> Path:
        """SQLite control state, written by whoever steers."""
        return self.root / "control.db"

    @property
    def lock(self) -> Path:
        """Held with flock by the engine."""
        return self.root / "engine.lock"

    @property
    def heartbeat(self) -> Path:
        """Touched by the engine every two seconds."""
        return self.root / "heartbeat"

    @property
    def publication(self) -> Path:
        """The newest word of `so8t export ollama`."""
        return self.root / "ollama-progress.json"

    @property
    def logs(self) -> Path:
        """Raw logs: engine.log and one file a phase."""
        return self.root / "logs"

    def older(self, name: PhaseName, number: int) -> Path:
        """Where work of a phase lies that was set aside, numbered from 1; nothing writes there."""
        return self.root / f"{name}.older-{number}"

    def phase(self, name: PhaseName) -> Path:
        """The folder that a phase owns."""
        return self.root / name

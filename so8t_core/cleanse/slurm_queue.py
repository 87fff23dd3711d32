"""Whether Slurm still has tasks of ours: how long they wait in its queue, nobody knows before."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from so8t_core.contract.errors import ResourceError

_ASK_EVERY_S = 10.0
_ASK_TIMEOUT_S = 60.0
_GONE_TIMES = 2  # a shared folder may show a shard later than the queue forgets its task


def job_name(work: Path) -> str:
    """The name of the jobs of one work folder."""
    return f"so8t-cleanse-{work.name}"


class SlurmQueue:
    """Watches the queue for the jobs of one name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = time.monotonic()
        self._gone = 0

    @property
    def is_over(self) -> bool:
        """Whether no task waits or runs, asked twice in a row; the queue is not asked all the time.

        Raises `ResourceError` without `squeue`.
        """
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _ASK_EVERY_S
            self._gone = 0 if self._has_tasks() else self._gone + 1
        return self._gone >= _GONE_TIMES

    def _has_tasks(self) -> bool:
        """Whether `squeue` names a task that does not just wait for others; yes if it fails."""
        command = ["squeue", "--noheader", f"--name={self._name}", "--format=%r"]
        try:
            asked = subprocess.run(
                command, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return True
        except OSError as error:
            raise ResourceError(
                "Slurm's queue cannot be asked for.",
                where="squeue",
                hint="Start the run where sbatch and squeue are installed.",
            ) from error
        reasons = asked.stdout.split("\n")
        return asked.returncode != 0 or any(
            reason and not reason.startswith("Dependency") for reason in map(str.strip, reasons)
        )

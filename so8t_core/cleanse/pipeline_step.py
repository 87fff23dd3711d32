"""The one definition of the cleansing for datatrove's executors: a task runs its rank's job."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from so8t_core.cleanse.shards import read_job
from so8t_core.cleanse.signals import WorkerSignals

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ShardStep(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """Runs the job of a rank; a shard whose file is there is done."""

    name = "SO8T cleanse"
    type = "shard"

    def __init__(self, jobs: str, work: str, local: bool) -> None:
        super().__init__()
        self.jobs = jobs
        self.work = work
        self.local = local

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ARG002
        """Datatrove's entry; yields nothing, since a job writes its own shard."""
        if self.local:
            die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        job = read_job(Path(self.jobs) / f"{rank:05}.json")
        if not job.target.is_file():
            signals = WorkerSignals(Path(self.work), job.target, job.settings.page_timeout_s)
            try:
                job.run(signals.tick)
            finally:
                signals.close()
        yield from ()

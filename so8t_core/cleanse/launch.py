"""The process that runs one pass on one of datatrove's executors.

    python -m so8t_core.cleanse.launch JOBS_FOLDER PARENT_PID

Local, Ray and Slurm differ in the executor alone. The process is started by the phase and ends with
it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import multiprocess

from so8t_core.cleanse.pipeline_step import ShardStep, die_with_parent
from so8t_core.cleanse.signals import Stopped
from so8t_core.cleanse.slurm_queue import job_name


def executor(plan: dict[str, Any], jobs: Path) -> Any:
    """The executor that the plan names, over one step."""
    local = plan["executor"] == "local"
    step = ShardStep(str(jobs), plan["work"], local)
    common = {"tasks": plan["tasks"], "workers": plan["workers"], "logging_dir": plan["logs"]}
    if local:
        from datatrove.executor.local import LocalPipelineExecutor

        return LocalPipelineExecutor([step], **common)
    if plan["executor"] == "ray":
        from datatrove.executor.ray import RayPipelineExecutor

        return RayPipelineExecutor([step], **common)
    from datatrove.executor.slurm import SlurmPipelineExecutor

    return SlurmPipelineExecutor(
        [step],
        time=plan["slurm_time"],
        partition=plan["slurm_partition"],
        job_name=job_name(Path(plan["work"])),
        **common,
    )


def main() -> None:
    """Run all jobs of a folder; exit 0 also where some are not done, since shards tell that."""
    die_with_parent()
    os.register_at_fork(after_in_child=die_with_parent)  # datatrove's manager is a process as well
    if os.getppid() != int(sys.argv[2]):
        sys.exit(1)
    multiprocess.set_forkserver_preload(["so8t_core.cleanse.pipeline_step"])
    jobs = Path(sys.argv[1])
    plan = json.loads((jobs / "plan.json").read_text(encoding="utf-8"))
    try:
        executor(plan, jobs).run()
    except Stopped:
        sys.exit(3)


if __name__ == "__main__":
    main()

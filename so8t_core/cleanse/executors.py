"""Running jobs: in this process, or on one of datatrove's executors in a process of its own.

What an executor says about its own success is not believed: a job is done when its shard is there.
A job whose worker was killed or hung is run again; a document at which that happened twice is left
out, with that reason, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from so8t_core.cleanse.shards import (
    HUNG,
    KILLED,
    Job,
    skip_documents,
    skipped_documents,
    write_job,
)
from so8t_core.cleanse.signals import (
    ProgressNote,
    give_command,
    progress_path,
    read_progress,
)
from so8t_core.cleanse.slurm_queue import SlurmQueue, job_name
from so8t_core.cleanse.watch import Watch
from so8t_core.contract.errors import ResourceError
from so8t_core.contract.files import write_json
from so8t_core.contract.settings.cleanse import CleanseSettings

_POLL_S = 0.2
_STOP_WAIT_S = 3.0
_STRIKES = 2
_MOST_LAUNCHES_WITHOUT_GAIN = 4

Progress = Callable[[int], None]
"""Told how many documents are done."""


def run_here(jobs: Sequence[Job], watch: Watch, progress: Progress) -> None:
    """Run the jobs one after another, with a pause point before each document."""
    before = 0
    for job in jobs:
        note = ProgressNote(job.target, job.settings.page_timeout_s)

        def tick(number: int, before: int = before, note: ProgressNote = note) -> None:
            note.rest()
            progress(before + number)
            watch.point()
            note.tell(number)

        try:
            job.run(tick)
        finally:
            note.close()
        before += job.size


def died_here(jobs: Sequence[Job]) -> bool:
    """Whether a process of this machine ended in the middle of one of these jobs.

    A page may have ended it, which only a worker of its own survives.
    """
    notes = (read_progress(job.target) for job in jobs)
    return any(note is not None and not note.lives for note in notes)


@dataclass
class Fleet:
    """The jobs of one pass, on the executor of the settings.

    `work` is the folder of this very work, named after the hash of settings, code and inputs;
    datatrove's logs and completions lie in it, so a change of settings begins anew.
    """

    name: str
    work: Path
    jobs: Sequence[Job]
    settings: CleanseSettings
    workers: int
    watch: Watch
    progress: Progress
    _strikes: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _hung: set[tuple[int, int]] = field(default_factory=set)

    @property
    def _folder(self) -> Path:
        return self.work / "jobs" / self.name

    def run(self) -> None:
        """Run all jobs; while a pause lasts workers hold between two documents.

        Raises `ResourceError` where workers keep dying without getting any further.
        """
        idle = 0
        try:
            while left := self._left():
                self._write_plan(left)
                self._launch()
                idle = 0 if len(self._left()) < len(left) or self._leave_out() else idle + 1
                if idle >= _MOST_LAUNCHES_WITHOUT_GAIN:
                    raise self._stuck(left)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _left(self) -> list[Job]:
        return [job for job in self.jobs if not job.target.is_file()]

    def _stuck(self, left: Sequence[Job]) -> ResourceError:
        return ResourceError(
            f"Cleansing workers end before their time; {len(left)} shards are left.",
            where=str(self.work / f"executor-{self.name}.log"),
            hint="Most often memory ran out: lower cleanse.workers and resume the run.",
        )

    def _write_plan(self, left: Sequence[Job]) -> None:
        """The jobs by rank, and what the executor needs to know."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        for rank, job in enumerate(left):
            progress_path(job.target).unlink(missing_ok=True)
            write_job(self._folder / f"{rank:05}.json", job)
        logs = self.work / f"logs-{self.name}"
        shutil.rmtree(logs, ignore_errors=True)  # completions of another set of ranks
        plan = {
            "executor": self.settings.executor,
            "work": str(self.work),
            "logs": str(logs),
            "tasks": len(left),
            "workers": min(self.workers, len(left)),
            "slurm_partition": self.settings.slurm_partition,
            "slurm_time": self.settings.slurm_time,
        }
        write_json(self._folder / "plan.json", plan)

    def _launch(self) -> None:
        """One run of the executor, watched to its end."""
        give_command(self.work, "go")
        with (self.work / f"executor-{self.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "so8t_core.cleanse.launch"),
                    *(str(self._folder), str(os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        try:
            self._watch(process)
        finally:
            give_command(self.work, "stop")
            _end(process)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Tell progress and obey pauses until the executor ends or lost a worker."""
        submitted = self.settings.executor == "slurm"  # its process only hands the jobs over
        queue = SlurmQueue(job_name(self.work))
        while self._left():
            ended = process.poll() is not None
            self.progress(self._done())
            if ended and (not submitted or process.returncode != 0 or queue.is_over):
                return
            if self._lost_worker():
                return
            if self.watch.pause_requested:
                give_command(self.work, "hold")
                self.watch.point()
                give_command(self.work, "go")
            else:
                self.watch.point()
            time.sleep(_POLL_S)
        self.progress(self._done())

    def _done(self) -> int:
        total = 0
        for job in self.jobs:
            at_work = None if job.target.is_file() else read_progress(job.target)
            total += job.size if job.target.is_file() else at_work.document if at_work else 0
        return total

    def _lost_worker(self, *, all_ended: bool = False) -> bool:
        """Whether a worker of this machine ended in the middle of a shard; strikes are counted.

        Of workers elsewhere that is known only when all have ended.
        """
        lost = False
        for number, job in enumerate(self.jobs):
            at_work = read_progress(job.target)
            if at_work is None or job.target.is_file() or (at_work.lives and not all_ended):
                continue
            if at_work.hung(job.target, self.settings.page_timeout_s):
                self._hung.add((number, at_work.document))
            progress_path(job.target).unlink(missing_ok=True)
            self._strikes[number][at_work.document] += 1
            lost = True
        return lost

    def _leave_out(self) -> bool:
        """Note documents with two strikes, for the next launch to leave out; whether there are."""
        self._lost_worker(all_ended=True)
        found = False
        for number, strikes in self._strikes.items():
            target = self.jobs[number].target
            before = skipped_documents(target)
            skipped = before | {
                document: HUNG if (number, document) in self._hung else KILLED
                for document, count in strikes.items()
                if count >= _STRIKES
            }
            if skipped != before:
                skip_documents(target, skipped)
                found = True
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the executor and all that it started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_WAIT_S if process.poll() is None else 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

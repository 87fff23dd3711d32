"""Running shards: in this process, or on a pool of spawned workers that die with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized

from so8t_core.cleanse.shards import Job
from so8t_core.cleanse.watch import Watch
from so8t_core.contract.errors import ResourceError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_POLL_S = 0.2
_HOLD_POLL_S = 0.05
_GO, _HOLD, _STOP = range(3)

Progress = Callable[[int], None]
"""Told how many documents are done."""


class _Stopped(Exception):
    """The parent wants no more; the shard at work is left unwritten."""


@dataclass(frozen=True)
class _Shared:
    """What a worker shares with its parent: what to do, and how many documents are done."""

    command: Synchronized[int]
    done: Synchronized[int]

    def tick(self) -> None:
        with self.done.get_lock():
            self.done.value += 1
        while self.command.value == _HOLD:
            time.sleep(_HOLD_POLL_S)
        if self.command.value == _STOP:
            raise _Stopped


_shared: _Shared | None = None  # set once in each worker by its initializer


def _enter_worker(command: Synchronized[int], done: Synchronized[int], parent: int) -> None:
    global _shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _shared = _Shared(command, done)


def _run_in_worker(job: Job) -> int:
    assert _shared is not None
    job.run(_shared.tick)
    return job.size


def run_here(jobs: Sequence[Job], watch: Watch, progress: Progress) -> None:
    """Run the jobs one after another, with a pause point after each document."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done)
        watch.point()

    for job in jobs:
        job.run(tick)


def run_pool(jobs: Sequence[Job], workers: int, watch: Watch, progress: Progress) -> None:
    """Run the jobs on spawned workers; while a pause lasts they hold between two documents.

    Raises `ResourceError` when a worker is killed; finished shards stay.
    """
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context.Value("i", _GO), context.Value("q", 0))
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)),
        mp_context=context,
        initializer=_enter_worker,
        initargs=(shared.command, shared.done, os.getpid()),
    )
    try:
        _drain([pool.submit(_run_in_worker, job) for job in jobs], shared, watch, progress)
    except BrokenProcessPool as error:
        raise ResourceError(
            "A cleansing worker ended before its time.",
            where="cleanse.workers",
            hint="Most often memory ran out: lower cleanse.workers and resume the run.",
        ) from error
    finally:
        shared.command.value = _STOP
        pool.shutdown(wait=True, cancel_futures=True)


def _drain(
    futures: Sequence[Future[int]], shared: _Shared, watch: Watch, progress: Progress
) -> None:
    total = 0
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
        total += sum(future.result() for future in finished)
        progress(shared.done.value if pending else total)
        if watch.pause_requested:
            shared.command.value = _HOLD
        watch.point()
        shared.command.value = _GO

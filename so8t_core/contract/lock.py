"""The engine's lock, and whether an engine lives.

A POSIX record lock rather than `flock`: children do not inherit it, the kernel frees it when its
process ends however it ends, and a watcher can ask who holds it without ever taking it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from so8t_core.contract.errors import RunBusy
from so8t_core.contract.rundir import RunDir

HEARTBEAT_EVERY_S = 2.0
HEARTBEAT_STALE_S = 10.0


def boot_id() -> str:
    """Identity of this boot of this machine; pids mean nothing beyond it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"boot-{int(time.time() - time.monotonic())}"


def _holder_pid(path: Path) -> int | None:
    """Pid of the process that holds the lock on `path`, asked of the kernel."""
    layout = "hhqqi4x" if sys.platform.startswith("linux") else "qqihh"
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        descriptor = os.open(path, os.O_RDONLY)
        kind = fcntl.F_RDLCK
    else:
        kind = fcntl.F_WRLCK
    try:
        if layout == "hhqqi4x":
            asked = struct.pack(layout, kind, os.SEEK_SET, 0, 0, 0)
            answer = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
            found, pid = answer[0], answer[4]
        else:
            asked = struct.pack(layout, 0, 0, 0, kind, os.SEEK_SET)
            answer = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
            found, pid = answer[3], answer[2]
    finally:
        os.close(descriptor)
    return None if found == fcntl.F_UNLCK else pid


@dataclass(frozen=True)
class Liveness:
    """Whether a run has an engine. `hung`: it holds the lock but its heartbeat stands still."""

    alive: bool
    pid: int | None
    heartbeat_age_s: float | None

    @property
    def hung(self) -> bool:
        """True when the engine lives but has not touched its heartbeat for long."""
        age = self.heartbeat_age_s
        return self.alive and age is not None and age > HEARTBEAT_STALE_S


def engine_liveness(run: RunDir) -> Liveness:
    """Look at the lock and the heartbeat; must not be called by the engine that holds them.

    Where another user's lock may not be looked at, the heartbeat alone decides, without a pid.
    """
    try:
        age = max(0.0, time.time() - run.heartbeat.stat().st_mtime)
    except OSError:
        age = None
    try:
        pid = _holder_pid(run.lock)
    except PermissionError:
        return Liveness(age is not None and age <= HEARTBEAT_STALE_S, None, age)
    return Liveness(pid is not None, pid, age)


class EngineLock:
    """Held by the one engine of a run for as long as its process lives."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises `RunBusy`, naming the holder, when another engine has it."""
        path = self._run.lock
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder_pid(path)
            os.close(descriptor)
            raise RunBusy(
                f"Another engine holds this run: process {holder} on this machine.",
                where=str(self._run.root),
                hint=f"Attach with `so8t --run {self._run.name}`, or stop it with "
                f"`so8t stop {self._run.name}`.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "boot_id": boot_id()}).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

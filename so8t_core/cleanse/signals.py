"""What passes between the phase and its workers, through files beside the shards.

A worker may run on another machine, so nothing but the folder is shared: a command file tells all
workers to go, hold or stop; a progress file beside each shard at work tells who works on which
document. Neither is durable state: a shard counts as done by its own file alone.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from so8t_core.cleanse.watchdog import Watchdog

Command = Literal["go", "hold", "stop"]

PROGRESS_SUFFIX = ".progress"
_COMMAND = "command"
_LOOK_EVERY_S = 0.05
_WIDTH = 80  # bytes of a progress record, so that each write replaces the one before


class Stopped(Exception):
    """The phase wants no more; the shard at work is left unwritten."""


@dataclass(frozen=True)
class AtWork:
    """A worker, and the number of the document that it is at."""

    host: str
    pid: int
    document: int

    def hung(self, target: Path, most_seconds: float) -> bool:
        """Whether it has been at this document for longer than it may."""
        try:
            began = progress_path(target).stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - began >= most_seconds

    @property
    def lives(self) -> bool:
        """Whether the worker is there; always true for one on another machine."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return not _is_zombie(self.pid)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]


def give_command(work: Path, command: Command) -> None:
    """Tell all workers."""
    path = work / _COMMAND
    partial = path.with_suffix(".new")
    partial.write_text(command)
    os.replace(partial, path)


def progress_path(target: Path) -> Path:
    """Where a shard's worker tells how far it is."""
    return target.with_name(target.name + PROGRESS_SUFFIX)


def read_progress(target: Path) -> AtWork | None:
    """Who works on a shard; None where nobody does."""
    try:
        host, pid, document = progress_path(target).read_text().split()
    except (OSError, ValueError):
        return None
    return AtWork(host, int(pid), int(document))


class ProgressNote:
    """Tells beside a shard who works on which of its documents; ends who hangs on one."""

    def __init__(self, target: Path, most_seconds: float) -> None:
        self._path = progress_path(target)
        self._watchdog = Watchdog(most_seconds)
        self._who = f"{socket.gethostname()} {os.getpid()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o644)

    def tell(self, document: int) -> None:
        """Work on this document begins."""
        os.pwrite(self._file, f"{self._who} {document}".ljust(_WIDTH).encode(), 0)
        self._watchdog.begin()

    def rest(self) -> None:
        """No document is at work until the next one is told."""
        self._watchdog.rest()

    def close(self) -> None:
        """The shard is done, or given up: nobody is at work on it."""
        self._watchdog.rest()
        os.close(self._file)
        self._path.unlink(missing_ok=True)


class WorkerSignals:
    """A worker's end: called before each document."""

    def __init__(self, work: Path, target: Path, most_seconds: float) -> None:
        self._command = work / _COMMAND
        self._note = ProgressNote(target, most_seconds)
        self._looked = 0.0

    def tick(self, document: int) -> None:
        """Tell where the worker is; hold or raise `Stopped` as commanded."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            self._note.tell(document)
            return
        self._looked = now
        while (command := self._read()) == "hold":
            self._note.rest()
            time.sleep(_LOOK_EVERY_S)
        if command == "stop":
            raise Stopped
        self._note.tell(document)

    def _read(self) -> str:
        try:
            return self._command.read_text()
        except FileNotFoundError:  # the work folder went with the phase
            return "stop"

    def close(self) -> None:
        """The shard is done, or given up."""
        self._note.close()

"""Starting, hearing and ending the process of a phase."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.engine.channel import WORKER_MARK, encode, run_mark

_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Set for every phase unless the user set them: reproducible hashing, no chatter, no telemetry.

OpenMP threads sleep while they wait: spinning ones starve one another as soon as another process
wants a core, and small operations then take a hundred times as long (docs/log.md).
"""


class _Lines(asyncio.Protocol):
    """Hands over each whole line as it arrives, so that nothing is lost when the peer dies.

    A stream reader would raise the peer's reset before it gives out the lines that came before it.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._hear = hear
        self._rest = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a reset is the same end as any other
        if not self.ended.done():
            self.ended.set_result(None)


class PhaseProcess:
    """One phase in a process group of its own, joined to us by a socket pair."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ours: socket.socket,
        transport: asyncio.BaseTransport,
        lines: _Lines,
    ) -> None:
        self._process = process
        self._socket = ours
        self._transport = transport
        self._lines = lines

    @property
    def pid(self) -> int:
        """Its pid, which is also the id of its process group."""
        return self._process.pid

    @classmethod
    async def start(
        cls,
        run: RunDir,
        phase: PhaseName,
        *,
        attempt: int,
        active_before_s: float,
        hear: Callable[[Mapping[str, Any]], None],
        package: str = "so8t_core.phases",
    ) -> PhaseProcess:
        """Spawn it with closed descriptors, in a new process group; `hear` gets its messages."""
        ours, theirs = socket.socketpair()
        arguments = {
            "run": str(run.root),
            "phase": phase,
            "module": f"{package}.{phase}",
            "attempt": attempt,
            "active_before_s": active_before_s,
            "channel": theirs.fileno(),
            "parent_pid": os.getpid(),
        }
        run.logs.mkdir(exist_ok=True)
        with (run.logs / f"{phase}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "so8t_core.engine.worker", json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                close_fds=True,
                pass_fds=(theirs.fileno(),),
                process_group=0,
                env={**_ENVIRONMENT, **os.environ, WORKER_MARK: run_mark(run)},
            )
        theirs.close()
        # written to by a descriptor of its own: a failed write must not end the reading
        writing = ours.dup()
        transport, lines = await asyncio.get_running_loop().create_connection(
            lambda: _Lines(hear), sock=ours
        )
        return cls(process, writing, transport, lines)

    async def ended(self) -> int:
        """Wait until it has said its last; returns the exit status (negative: a signal)."""
        await self._lines.ended
        return await asyncio.to_thread(self._process.wait)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; a process that is gone hears nothing, which `ended` reports.

        One that has not listened to thousands of messages is stuck for good, and is ended.
        """
        try:
            self._socket.sendall(encode(message))
        except BlockingIOError:
            self.kill()
        except ConnectionError:
            return

    def kill(self) -> None:
        """End the whole group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End what is left of the group and close our ends."""
        self.kill()
        self._transport.close()
        self._socket.close()


def end_leftovers(run: RunDir) -> list[int]:
    """End processes of this run that outlived their engine; returns their pids.

    They are known by the mark in their environment, so a recycled pid is never hit.
    """
    ended = []
    mark = run_mark(run)
    for process in psutil.process_iter(["pid"]):
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(WORKER_MARK) == mark:
                process.kill()
                process.wait(timeout=10)
                ended.append(process.pid)
        except psutil.Error:
            continue  # not ours to look at, or already gone
    return ended


def start_engine(run: RunDir, *, only: tuple[PhaseName, ...] = ()) -> subprocess.Popen[bytes]:
    """Start an engine for the run in a session of its own, so it outlives the terminal.

    Returns at once; whether it got the lock is for `contract.lock` to tell.
    """
    run.logs.mkdir(exist_ok=True)
    with (run.logs / "engine.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "so8t_core.engine", str(run.root), *only],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=True,
            start_new_session=True,
            cwd=Path.cwd(),
        )

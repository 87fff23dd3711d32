"""Checkpoints written in the background: the training stops for the copy, not for the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from so8t_core.training.checkpoint import SEPARATOR, CheckpointStore, Snapshot, state_tensors
from so8t_core.training.host_buffer import HostBuffer


@dataclass(frozen=True)
class Written:
    """A checkpoint that is durable. `stall_s`: how long the training stood still for it.

    `write_s`: how long hashing, writing, syncing and renaming took beside the training.
    """

    step: int
    path: Path
    size_bytes: int
    stall_s: float
    write_s: float


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread of its own.

    A write that failed raises its error at the next call of any method. As a context manager it
    waits for the last write when the training ends, however it ends.
    """

    def __init__(self, store: CheckpointStore, device: torch.device) -> None:
        self._store = store
        self.buffer = HostBuffer(device)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="so8t-checkpoint")
        self._flight: Future[None] | None = None

    def reserve(self, snapshot: Snapshot) -> None:
        """Get memory for copies of such snapshots, in the background."""
        self.wait()
        tensors = list(_tensors(snapshot).values())
        self._flight = self._pool.submit(self.buffer.reserve, tensors)

    def submit(
        self,
        take: Callable[[], Snapshot],
        sync: Callable[[], None],
        told: Callable[[Written], None],
    ) -> None:
        """Take a snapshot, copy it and return; write the copy in the background.

        Waits for an earlier write first, which counts as standing still as well. In the thread,
        `sync` comes before the first byte and `told` after the checkpoint is durable.
        """
        began = time.monotonic()
        self.wait()
        kept = copied(take(), self.buffer)
        stall_s = time.monotonic() - began

        def write() -> None:
            since = time.monotonic()
            sync()
            path, size_bytes = self._store.write(kept)
            write_s = time.monotonic() - since
            told(Written(kept.step, path, size_bytes, stall_s, write_s))

        self._flight = self._pool.submit(write)

    def check(self) -> None:
        """Raise the error of a write that has failed; return at once otherwise."""
        if self._flight is not None and self._flight.done():
            self.wait()

    def wait(self) -> None:
        """Return when nothing is being written any more; raise the error of a failed write."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True)
        if error is None:
            self.wait()
        elif self._flight is not None and (failure := self._flight.exception()) is not None:
            error.add_note(f"Besides, a checkpoint could not be written: {failure}")


def copied(snapshot: Snapshot, buffer: HostBuffer) -> Snapshot:
    """A snapshot that nothing else changes; its tensors lie in the buffer, none over another."""
    copies = buffer.copy(_tensors(snapshot))
    optimizer = {
        name: {
            key: copies[f"{name}{SEPARATOR}{key}"] if isinstance(value, Tensor) else value
            for key, value in state.items()
        }
        for name, state in snapshot.optimizer.items()
    }
    return replace(
        snapshot,
        weights={name: copies[name] for name in snapshot.weights},
        optimizer=optimizer,
        schedule=deepcopy(dict(snapshot.schedule)),
        trainer=deepcopy(dict(snapshot.trainer)),
        counters=dict(snapshot.counters),
        course=deepcopy(dict(snapshot.course)),
    )


def _tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    """All tensors of a snapshot: weights by name, states by parameter and key."""
    return {**snapshot.weights, **state_tensors(snapshot.optimizer)}

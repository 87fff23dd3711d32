"""When checkpoints are written, and what is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.checkpoint import Snapshot
from so8t_core.training.checkpoint_writer import CheckpointWriter, Written
from so8t_core.training.surroundings import Surroundings


class CheckpointKeeper:
    """Decides which steps are kept, has them written, and journals each once it is durable.

    `last_step`: the step at which the training ends by itself. `saved`: the state of the training
    at the checkpoint that it began from, as `keep` takes it; None at a first start.
    """

    def __init__(
        self,
        settings: TrainSettings,
        around: Surroundings,
        device: torch.device,
        last_step: int,
        saved: tuple[int, ...] | None,
    ) -> None:
        self.writer = CheckpointWriter(around.store, device)
        self._unpinned_told = False
        self._reserved = device.type != "cuda"
        self._settings = settings
        self._around = around
        self._last_step = last_step
        self._saved = saved
        self._saved_at = self._counted_at = time.monotonic()

    def due(self, step: int) -> str | None:
        """Why a checkpoint is due after a step; None when it is not."""
        if step == self._last_step:
            return "end"
        wish = self._around.wish
        if step % int(wish("save_every_steps") or self._settings.save_every_steps) == 0:
            return "step"
        every_s = wish("save_every_s") or self._settings.save_every_s
        if time.monotonic() - self._saved_at >= every_s:
            return "time"
        return None

    def prepare(self, snapshot: Callable[[], Snapshot]) -> None:
        """After the first step, when all states exist: pin memory for copies of them."""
        if not self._reserved:
            self._reserved = True
            self.writer.reserve(snapshot())

    def keep(
        self, reason: str, standing: tuple[int, ...], snapshot: Callable[[], Snapshot]
    ) -> None:
        """Begin to write a checkpoint, unless the last one was made at the same standing.

        `standing`: everything that moves the training on, such as its step.
        """
        if self._saved == standing:
            return
        self.writer.submit(snapshot, self._around.sync, lambda made: self._told(made, reason))
        self._saved, self._saved_at = standing, time.monotonic()

    def _told(self, made: Written, reason: str) -> None:
        """In the writer's thread, after each write."""
        around = self._around
        past, now = around.history.now, time.monotonic()
        around.history.change(
            checkpoints_written=past.checkpoints_written + 1,
            checkpoint_stall_s_max=max(past.checkpoint_stall_s_max, made.stall_s),
            checkpoint_write_s_max=max(past.checkpoint_write_s_max, made.write_s),
            train_s=past.train_s + now - self._counted_at,
        )
        self._counted_at = now
        shown = made.path.relative_to(around.run_root).as_posix()
        around.emit.checkpoint(made.step, shown, reason, made.size_bytes)
        around.emit.stats({"checkpoint_stall_s": made.stall_s, "checkpoint_write_s": made.write_s})

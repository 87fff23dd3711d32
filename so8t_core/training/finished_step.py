"""A step that has changed the weights, and is written down while the next one is computed already.

Between the moment a step's loss is read and the next step's first operations a GPU has nothing to
do. What need not come between is therefore done later, when the next pass has been handed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from so8t_core.training.gate_terms import GateTerms
from so8t_core.training.guard import require_finite
from so8t_core.training.surroundings import Surroundings


@dataclass(frozen=True)
class Readings:
    """What is read from the device before the weights change; losses in nats a target.

    `loss` with penalties, `task_loss` without; `tokens` and `targets` of all micro-batches.
    """

    loss: float
    task_loss: float
    grad_norm: float
    tokens: int
    targets: int


def read_together(
    loss: Tensor, task_loss: Tensor, grad_norm: Tensor, tokens: Sequence[Tensor], targets: Tensor
) -> Readings:
    """Scalars of one device, read at once: each reading waits for it. float64 holds them all."""
    numbers = (loss, task_loss, grad_norm, torch.stack(list(tokens)).sum(), targets)
    values = torch.stack([number.detach().double() for number in numbers]).tolist()
    return Readings(*values[:3], *map(int, values[3:]))


@dataclass(frozen=True)
class FinishedStep:
    """`rates`: LoRA's and the gates'; `pet`: what its term gave; `took_s`: without pauses.

    `tokens`: of all ranks in this step, `all_tokens` in all so far; `skipped`: whether the step was
    bad and left out.
    """

    step: int
    readings: Readings
    rates: tuple[float, ...]
    pet: Mapping[str, float]
    tokens: int
    all_tokens: int
    took_s: float
    skipped: bool

    def values(self, measured: Mapping[str, float]) -> dict[str, float]:
        """What the series keeps of it, with what was `measured` of the gates."""
        values: dict[str, float] = {
            "loss": self.readings.loss,
            "task_loss": self.readings.task_loss,
            "learning_rate": self.rates[0],
            "grad_norm": self.readings.grad_norm,
            **measured,
            **self.pet,
        }
        if len(self.rates) > 1:
            values["gate_learning_rate"] = self.rates[1]
        if self.skipped:
            values = {name: value for name, value in values.items() if math.isfinite(value)}
            values["skipped"] = 1
        return values


class Beside:
    """A stream for what is read while the device works on: on a CPU, nothing of its own."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        # before what waits already, or its small operations would wait behind large ones
        stream = torch.cuda.Stream(device, priority=-1) if on_gpu else None  # type: ignore[no-untyped-call]
        self._stream: torch.cuda.Stream | None = stream

    def follow(self) -> None:
        """What is done in `opened` from now on comes after all that was asked for until now."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Operations inside wait for what came before the last `follow`, and for nothing else."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield


class StepBook:
    """Writes each finished step to the series, and tells engine and trackers of it.

    `last_step`: at which the training ends by itself; `epochs_a_step`: which part of the samples a
    step takes.
    """

    def __init__(
        self,
        around: Surroundings,
        terms: GateTerms,
        device: torch.device,
        last_step: int,
        epochs_a_step: float,
    ) -> None:
        self._around = around
        self._terms = terms
        self._device = device
        self._last_step = last_step
        self._epochs_a_step = epochs_a_step
        self._beside = Beside(device)
        self._waiting: FinishedStep | None = None

    @property
    def settled(self) -> bool:
        """Whether every finished step is written."""
        return self._waiting is None

    def keep(self, finished: FinishedStep) -> None:
        """Take a step that has just changed the weights; `settle` writes it."""
        assert self.settled
        self._waiting = finished
        self._beside.follow()

    def settle(self) -> None:
        """Write what waits, if anything does; before the weights change again.

        Raises `PhaseError` where what the gates have become is not finite.
        """
        finished, self._waiting = self._waiting, None
        if finished is None:
            return
        with self._beside.opened():
            measured, layers = self._terms.measure_with_layers()
        values = finished.values(measured)
        require_finite(values, f"step {finished.step}")
        self._around.series.append({"step": finished.step, **values, "tokens": finished.tokens})
        self._tell(finished, values if finished.skipped else {**values, **layers})

    def _tell(self, finished: FinishedStep, values: Mapping[str, float]) -> None:
        step, tokens_per_s = finished.step, finished.tokens / finished.took_s
        stats: dict[str, Any] = {
            "tokens_per_s": tokens_per_s,
            "eta_s": (self._last_step - step) * finished.took_s,
            "epoch": step * self._epochs_a_step,
            "tokens": finished.all_tokens,
        }
        if self._device.type == "cuda":
            stats["gpu_memory_allocated_bytes"] = torch.cuda.memory_allocated()
            stats["gpu_memory_reserved_bytes"] = torch.cuda.memory_reserved()
            stats["gpu_memory_peak_bytes"] = torch.cuda.max_memory_allocated()
        shown = {**values, "tokens_per_s": tokens_per_s}
        self._around.trackers.append("train", step, shown)
        emit = self._around.emit
        emit.metric(step, shown)
        emit.stats(stats)
        emit.progress(step, self._last_step, "steps")

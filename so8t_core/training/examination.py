"""Examinations of a model in training: held-out loss, sample answers, the best, when to stop.

The trainer asks what is due after a step and has it done. How the model is made ready, how passes
are cut and when to pause stays the trainer's, told as `Subject`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.best import BestWatch
from so8t_core.training.checkpoint import Snapshot
from so8t_core.training.dataset import PaddingCollator, SampleSet
from so8t_core.training.guard import require_finite
from so8t_core.training.held_out import held_out_loss
from so8t_core.training.memory import Passes, first_line, no_smaller_passes
from so8t_core.training.samples import SampleWriter
from so8t_core.training.series import read_series
from so8t_core.training.surroundings import Surroundings


@dataclass(frozen=True)
class Subject:
    """The model that is examined.

    `ready`: opens it for evaluation; `precision`: the arithmetic of training; `passes`: rows at
    once; `point`: where a pause is taken.
    """

    ready: Callable[[], AbstractContextManager[Any]]
    precision: Callable[[], AbstractContextManager[Any]]
    passes: Passes
    point: Callable[[], None]
    device: torch.device


class Examination:
    """Knows which steps are to be examined, examines, and remembers how far it came.

    `held_out` is None where there is nothing to measure; then no sample is written either.
    `last_step`: of the whole training; `resume`: the snapshot to go on from.
    """

    def __init__(
        self,
        settings: TrainSettings,
        around: Surroundings,
        held_out: SampleSet | None,
        sampler: SampleWriter,
        padding: PaddingCollator,
        last_step: int,
        resume: Snapshot | None,
    ) -> None:
        self._settings = settings
        self._around = around
        self._held_out = held_out
        self._sampler = sampler
        self._padding = padding
        self._last_step = last_step
        self.evaluated_step = resume.counters["evaluated_step"] if resume else -1
        self.sampled_step = resume.counters["sampled_step"] if resume else -1
        self.best = BestWatch.from_settings(settings, resume.course["best"] if resume else {})

    def counters(self) -> dict[str, int]:
        """What a checkpoint keeps beside the state of `best`."""
        return {"evaluated_step": self.evaluated_step, "sampled_step": self.sampled_step}

    def due(self, step: int) -> bool:
        """Whether the held-out loss after a step is still to be measured; the same on all ranks."""
        wished = self._around.wish("evaluate_from_step")
        asked = wished is not None and self.evaluated_step < wished <= step
        due = asked or self._scheduled(step)
        # the wish is told to the first rank alone
        return self._around.ranks.agree(
            self._held_out is not None and due and self.evaluated_step != step
        )

    def samples_due(self, step: int) -> bool:
        """Whether a pause came between the loss after a step and the answers to the questions."""
        return self.sampled_step < self.evaluated_step == step

    def _scheduled(self, step: int) -> bool:
        every = self._settings.eval_every_steps
        return step in (0, self._last_step) or (every > 0 and step % every == 0)

    def measure(self, subject: Subject, step: int) -> float:
        """Mean cross-entropy over all held-out targets, told and written down.

        May be paused between passes, and is then begun anew. Raises `PhaseError` for a loss that is
        not finite, `ResourceError` where memory does not suffice for one row.
        """
        around = self._around
        around.emit.progress(step, self._last_step, "steps", "measuring held-out loss")
        measured, subject.passes.rows = around.ranks.together(lambda: self._passed(subject, step))
        result = {"eval_loss": measured[0]}
        require_finite(result, f"the evaluation after step {step}")
        around.evaluations.append({"step": step, **result, "targets": measured[1]})
        self.evaluated_step = step
        around.trackers.append("evaluation", step, result)
        around.emit.metric(step, result)
        return measured[0]

    def _passed(self, subject: Subject, step: int) -> tuple[tuple[float, int], int]:
        """Loss and targets, and how many rows a pass had at the end."""
        with subject.ready() as model:
            while isinstance(measured := self._loss(subject, model), str):
                when = f"the evaluation after step {step}"
                if self._around.ranks.bound:
                    raise no_smaller_passes(when, measured)
                subject.passes.halve(when, measured)
        return measured, subject.passes.rows

    def _loss(self, subject: Subject, model: Any) -> tuple[float, int] | str:
        assert self._held_out is not None

        def loss_of(batch: Mapping[str, Tensor]) -> Tensor:
            with subject.precision():
                moved = {name: tensor.to(subject.device) for name, tensor in batch.items()}
                loss: Tensor = model(**moved).loss
            return loss

        rows = subject.passes.rows
        return held_out_loss(loss_of, self._held_out, self._padding, rows, subject.point)

    def judge(self, step: int, eval_loss: float) -> bool:
        """Take the loss into account; True where the model is the best so far.

        An evaluation that somebody asked for does not count, nor the one before the first step, or
        resuming would not be exact. `best.ended` tells whether to stop.
        """
        if step == 0 or not self._scheduled(step):
            return False
        lowest = self.best.hear(step, eval_loss)
        if lowest:
            self._around.emit.stats({"best_step": step, "best_eval_loss": eval_loss})
        if self.best.ended:
            self._around.emit.log(
                "info",
                f"Training stops early after step {step}: the held-out loss has not fallen for "
                f"{self.best.patience} evaluations; it was lowest after step {self.best.step}.",
            )
        return lowest

    def look_for_best_anew(self, step: int) -> None:
        """Forget the best, whose checkpoint is lost; that of this step is there and may be it."""
        measured = None
        if step > 0 and self._scheduled(step) and self.evaluated_step == step:
            for line in read_series(self._around.evaluations.path):  # none where the curve is lost
                measured = line["eval_loss"] if line["step"] == step else None
        self.best.look_anew(None if measured is None else step, measured)

    def write_samples(self, subject: Subject, step: int) -> None:
        """Have the model answer; may be paused between tokens, and is then begun anew."""
        if self._sampler.questions:
            self._around.ranks.together(lambda: self._answered(subject, step))
        self.sampled_step = step

    def _answered(self, subject: Subject, step: int) -> None:
        emit = self._around.emit
        emit.progress(step, self._last_step, "steps", "writing samples")
        try:
            with subject.ready() as model:
                self._sampler.write(model, step, emit, subject.point, subject.precision)
        except torch.OutOfMemoryError as error:
            if self._around.ranks.bound:  # the others wait within a layer
                raise
            emit.fallback(
                f"no answers to the sample questions after step {step}; training goes on",
                f"memory ran out: {first_line(error)}",
            )

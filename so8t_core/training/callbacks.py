"""Where transformers' Trainer tells that steps begin and end."""

# transformers passes every callback more than it needs
# ruff: noqa: ARG002
from __future__ import annotations

from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StepOwner(Protocol):
    """What is told."""

    def evaluate_if_due(self) -> None:
        """Before the first step of this process."""

    def begin_step(self) -> None:
        """Before the first micro-batch of a step."""

    def before_update(self) -> None:
        """Just before the optimiser changes the weights."""

    def finish_step(self) -> None:
        """After the update."""

    def settle(self) -> None:
        """Before the step is evaluated or saved, or the training ends: everything is written."""

    def evaluation_due(self) -> bool:
        """After a step: whether to evaluate."""

    def checkpoint_due(self) -> str | None:
        """After a step: why to save, or None."""


class StepBounds(TrainerCallback):
    """Tells the trainer where steps begin and end."""

    def __init__(self, trainer: StepOwner) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.evaluate_if_due()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.begin_step()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.before_update()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.finish_step()
        control.should_evaluate = self._trainer.evaluation_due()
        control.should_save = self._trainer.checkpoint_due() is not None
        if control.should_evaluate or control.should_save or control.should_training_stop:
            self._trainer.settle()

"""Steps whose loss or gradient is not finite or explodes: stop, leave them out, or back off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from so8t_core.contract.errors import PhaseError
from so8t_core.contract.settings.train import TrainSettings

MEMORY_STEPS = 20
"""Explosions are told from the average of about so many good steps, once there were so many."""
_REMEDY = "lower train.learning_rate and train.gate_learning_rate, look for broken samples,"


@dataclass
class _Seen:
    """The state, part of a checkpoint. Averages are of good steps; `row`: bad ones in a row."""

    good: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    row: int = 0
    bad: int = 0
    back_offs: int = 0


@dataclass
class StepGuard:
    """Judges each step between its last backward pass and its update. `run`: its name."""

    settings: TrainSettings
    run: str
    seen: _Seen = field(default_factory=_Seen)

    @classmethod
    def from_settings(
        cls, settings: TrainSettings, run: str, state: Mapping[str, Any]
    ) -> StepGuard:
        """As the settings say, with the state of a checkpoint, or with none (`{}`)."""
        return cls(settings, run, _Seen(**state))

    def judge(self, step: int, loss: float, grad_norm: float) -> str | None:
        """Why the step must not be taken; None for a good one.

        Raises `PhaseError` where the settings say to stop, or too many steps were bad.
        """
        why = self._fault("loss", loss, self.seen.loss, self.settings.loss_explosion)
        why = why or self._fault(
            "gradient norm", grad_norm, self.seen.grad_norm, self.settings.grad_norm_explosion
        )
        if why is None:
            self._take(loss, grad_norm)
            return None
        self.seen.row += 1
        self.seen.bad += 1
        told = f"The {why.format(step=step)}"
        self._require_patience(step, told)
        if self.settings.bad_step == "back_off":
            self.seen.back_offs += 1
        return told

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return asdict(self.seen)

    def _fault(self, name: str, value: float, usual: float, limit: float | None) -> str | None:
        if not math.isfinite(value):
            return f"{name} of step {{step}} is {value}."
        known = (
            self.seen.good >= MEMORY_STEPS and usual > 0
        )  # of a loss of 0, nothing is a multiple
        if limit is None or not known or value <= limit * usual:
            return None
        return f"{name} of step {{step}} is {value:.4g}, {value / usual:.1f} times the average."

    def _take(self, loss: float, grad_norm: float) -> None:
        seen = self.seen
        seen.row = 0
        seen.good += 1
        share = 1.0 / min(seen.good, MEMORY_STEPS)
        seen.loss += share * (loss - seen.loss)
        seen.grad_norm += share * (grad_norm - seen.grad_norm)

    def _require_patience(self, step: int, why: str) -> None:
        settings, seen = self.settings, self.seen
        if settings.bad_step == "stop":
            told, change = why, "train.bad_step=skip"
        elif seen.row > settings.max_bad_steps_in_a_row:
            told = f"{why} It is bad step number {seen.row} in a row."
            change = f"train.max_bad_steps_in_a_row={2 * seen.row}"
        elif seen.bad > settings.max_bad_steps:
            told = f"{why} It is bad step number {seen.bad} in all."
            change = f"train.max_bad_steps={2 * seen.bad}"
        else:
            return
        other = " (or back_off)" if settings.bad_step == "stop" else ""
        raise PhaseError(
            told,
            where=f"train, step {step}",
            hint=f"What is saved is intact: `so8t resume {self.run} --set {change}`{other} goes on "
            f"from it and leaves such steps out. Or {_REMEDY} and begin a new run.",
        )


def require_finite(values: Mapping[str, float], where: str) -> None:
    """Raise `PhaseError` for a measured value that is not finite: the weights are broken."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise PhaseError(
                f"The {name.replace('_', ' ')} of {where} is {value}.",
                where=f"train, {where}",
                hint=f"{_REMEDY.capitalize()} and begin a new run; the last checkpoints may be "
                "as broken.",
            )

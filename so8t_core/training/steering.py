"""Settings that steer a training's steps to come: kept with each checkpoint, told where changed."""

from __future__ import annotations

from typing import Any

from so8t_core.contract.settings.train import STEERING, TrainSettings
from so8t_core.training.checkpoint import Snapshot


def steering_of(settings: TrainSettings) -> dict[str, Any]:
    """Their values by name (JSON)."""
    return settings.model_dump(mode="json", include=set(STEERING))


def changed_steering(snapshot: Snapshot, settings: TrainSettings) -> tuple[str, ...]:
    """What is set otherwise than when the checkpoint was written, in words.

    Older checkpoints hold it in their identity.
    """
    before = snapshot.course.get("steering") or {
        name: snapshot.identity.get(f"train.{name}", now)
        for name, now in steering_of(settings).items()
    }
    return tuple(
        f"train.{name} was {before[name]!r} up to step {snapshot.step} and is {now!r} since"
        for name, now in sorted(steering_of(settings).items())
        if before[name] != now
    )

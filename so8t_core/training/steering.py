"""Settings that steer a training's steps to come: kept with each checkpoint, told where changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from so8t_core.contract.settings.train import STEERING, TrainSettings
from so8t_core.training.checkpoint import Snapshot
from so8t_core.training.history import ChangedSetting


def steering_of(settings: TrainSettings) -> dict[str, Any]:
    """Their values by name (JSON)."""
    return settings.model_dump(mode="json", include=set(STEERING))


def changed_steering(
    known: Sequence[ChangedSetting], snapshot: Snapshot | None, settings: TrainSettings
) -> tuple[ChangedSetting, ...]:
    """What was set otherwise on the way: what is `known` of it, and what the checkpoint tells.

    What was known of later steps is undone with them; of the checkpoint's own step it holds where
    that was written again with the newer value. Older checkpoints hold their values in their
    identity.
    """
    if snapshot is None:
        return ()
    asked, step = steering_of(settings), snapshot.step
    before = snapshot.course.get("steering") or {
        name: snapshot.identity.get(f"train.{name}", now) for name, now in asked.items()
    }
    changes = [change for change in known if change.step < step]
    same_step = {change.name: change for change in known if change.step == step}
    for field, now in sorted(asked.items()):
        name, was = f"train.{field}", repr(before.get(field, now))
        earlier = same_step.get(name)
        if earlier is not None and earlier.now == was:
            was = earlier.before
        if was != repr(now):
            changes.append(ChangedSetting(step, name, was, repr(now)))
    return tuple(changes)

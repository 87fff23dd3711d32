"""Trainings of several ranks in one session: `torchrun ... -m tests.training.ranks_trial SPEC.json`.

Each rank runs the train phase for every entry of the spec, one after the other.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from so8t_core.phases.base import HardPause
from so8t_core.phases.standalone import RecordingEmitter
from so8t_core.training import kept_data
from tests.training.trial import context, train


@dataclass
class AskingGate:
    """Asks for a pause at the question of that number; one comes before the training.

    The trainer asks twice at each point: whether to hurry, and whether to pause.

    A soft one is lifted at once; `held` counts them.
    """

    pause_at: int | None = None
    soft_at: int | None = None
    points: int = 0
    held: int = 0
    asked: bool = False

    @property
    def requested(self) -> bool:
        if not self.asked:  # what is asked for stands until a point
            self.points += 1
            self.asked = self.points in (self.pause_at, self.soft_at)
        return self.asked

    def point(self, save: Callable[[], None] | None = None) -> None:
        if not self.asked and save is not None:  # the first rank trains alone and asks directly
            self.points += 1
        self.asked = False
        if self.points == self.soft_at:
            self.held += 1
        elif self.points == self.pause_at:
            if save is not None:
                save()
            raise HardPause

    async def apoint(self) -> None:
        self.point()


def counted(module: Any, name: str) -> list[str]:
    """Grows by one at each call of a function from now on."""
    calls: list[str] = []
    original = getattr(module, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return original(*args, **kwargs)

    setattr(module, name, noted)
    return calls


def main(spec_path: str) -> None:
    rank = int(os.environ["RANK"])
    encoded = counted(kept_data, "encode_data")
    for entry in json.loads(Path(spec_path).read_text()):
        encoded.clear()
        root = Path(entry["root"])
        gate = AskingGate(**entry["gate"])
        ctx = context(root, gate, **entry["settings"])
        torch.set_num_threads(1)
        result: dict[str, Any] = {"end": "done", "digest": None, "resumes": None}
        try:
            outcome = train(ctx)
            result["digest"] = outcome.digest
            result["resumes"] = outcome.figures.get("resumes")
        except HardPause:
            result["end"] = "paused"
        assert isinstance(ctx.emit, RecordingEmitter)
        kinds = {kind for kind, _ in ctx.emit.events}
        progress = [payload for kind, payload in ctx.emit.events if kind == "progress"]
        result["last"] = progress[-1] if progress else None
        result["encoded"] = len(encoded)
        result |= {"events": sorted(kinds), "held": gate.held, "points": gate.points}
        (root / f"{entry['name']}-{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])

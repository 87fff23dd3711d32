"""The processes of one training, one a GPU, and what they must agree on.

torchrun starts them (`engine/several.py`); gradients are torch's and accelerate's business. Here is
the rest: the first rank alone is paused, told what is wished, and writes; the others follow it.
What they agree on goes over a gloo group of its own, which is never timed out, because a pause may
last for days, and never waits for a GPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from so8t_core.contract.errors import ResourceError
from so8t_core.phases.base import HardPause, Level, PauseGate

T = TypeVar("T")
PATIENCE = timedelta(days=3650)
POINTS_A_QUESTION = 256
"""Before the training itself, points come by the thousand; every so many the ranks ask."""


class Ranks:
    """Place of this process among `count` of them; alone where torchrun started none."""

    def __init__(self, number: int, count: int, group: Any) -> None:
        self.number = number
        self.count = count
        self._group = group
        self.apart = False
        """True while the first rank does something that the others only wait for."""
        self.bound = False
        """True where no rank can use the model alone: each has a part of the base."""

    @classmethod
    def join(cls, device: Literal["auto", "cpu", "cuda"]) -> Ranks:
        """Meet the others, as torchrun's environment says; takes this rank's GPU.

        Raises `ResourceError` where there are fewer GPUs than ranks.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls(0, 1, None)
        on_gpu = device != "cpu"
        if on_gpu:
            there = torch.cuda.device_count()
            if int(os.environ["LOCAL_WORLD_SIZE"]) > there:
                raise ResourceError(
                    f"{count} GPUs are asked for, {there} are visible.",
                    where="train.gpus",
                    hint="Lower train.gpus, or look at CUDA_VISIBLE_DEVICES.",
                )
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        if not distributed.is_initialized():
            own = torch.device("cuda", torch.cuda.current_device()) if on_gpu else None
            distributed.init_process_group("nccl" if on_gpu else "gloo", device_id=own)
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return cls(distributed.get_rank(), count, group)

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and is steered."""
        return self.number == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def agree(self, value: T) -> T:
        """The first rank's value, on all ranks; every rank must call it."""
        if not self.several:
            return value
        box: list[Any] = [value if self.first else None]
        distributed.broadcast_object_list(box, src=0, group=self._group)
        agreed: T = box[0]
        return agreed

    def from_first(self, work: Callable[[], T]) -> T:
        """What the first rank's work gives, on all ranks; the others wait.

        A `HardPause` there is one everywhere; any other error ends the process, which the others
        notice.
        """
        if not self.several:
            return work()
        nothing: tuple[str, Any] = ("nothing", None)
        if not self.first:
            heard: T = self._heard(self.agree(nothing))
            return heard
        self.apart = True
        try:
            answer: tuple[str, Any] = ("done", work())
        except HardPause:
            answer = ("left", None)
        finally:
            self.apart = False
        given: T = self._heard(self.agree(answer))
        return given

    def together(self, work: Callable[[], T]) -> T:
        """What work with the model gives the first rank, on all ranks; the others help or wait."""
        return self.agree(work()) if self.bound else self.from_first(work)

    def _heard(self, answer: tuple[str, Any]) -> Any:
        if answer[0] == "left":
            raise HardPause
        return answer[1]

    def total(self, value: float, device: torch.device) -> float:
        """The sum over ranks."""
        if not self.several:
            return value
        numbers = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(numbers)
        return numbers.item()


def alone() -> Ranks:
    """The only process of a training."""
    return Ranks(0, 1, None)


def leave_to_us(model: nn.Module, kept: Sequence[str]) -> None:
    """Have DDP take care of the parameters of these names and of nothing else.

    Frozen weights are equal on all ranks, and broadcasting them would take gigabytes; the gates'
    gradients come from the `RotationBank`, after DDP has looked for them.
    """
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    names = {name for name, _ in every} - set(kept)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)  # type: ignore[no-untyped-call]


class SharedGate:
    """A pause gate at which all ranks stop at the same moment, as the first one's gate says.

    Cheap while nothing is asked: one small message between processes, no GPU. The first rank's gate
    is called only where all ranks know of the request.
    """

    def __init__(self, gate: PauseGate, ranks: Ranks) -> None:
        self._gate = gate
        self._ranks = ranks
        self._early = 0

    @property
    def requested(self) -> bool:
        """Whether this rank knows of a request; the followers never do."""
        return self._ranks.first and self._gate.requested

    def point(self, save: Callable[[], None] | None = None) -> None:
        """See `phases.base.PauseGate`; every rank must come to the same points."""
        if self._ranks.apart:
            self._gate.point(save)
            return
        if save is None:
            self._early += 1
            if self._early % POINTS_A_QUESTION != 1:
                return
        if self._ranks.agree(self.requested):
            self._ranks.from_first(lambda: self._gate.point(save))

    async def apoint(self) -> None:
        """See `phases.base.PauseGate`."""
        self.point()


class SilentEmitter:
    """An emitter of a rank whose words nobody needs; its log lines go to the phase's log file."""

    def __init__(self, number: int) -> None:
        self._number = number

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        """Nothing."""

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def stats(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def item(self, kind: str, text: str, **fields: Any) -> None:
        """Nothing."""

    def log(self, level: Level, message: str) -> None:
        """To the log file."""
        sys.stdout.write(f"rank {self._number} {level:7} {message}\n")
        sys.stdout.flush()

    def fallback(self, what: str, why: str) -> None:
        """To the log file; the first rank journals its own."""
        self.log("warning", f"{what} ({why})")

    def checkpoint(self, step: int, path: str, reason: str, size_bytes: int) -> None:
        """Nothing."""

    def rewound(self, step: int) -> None:
        """Nothing."""

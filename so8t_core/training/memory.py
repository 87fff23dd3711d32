"""When memory runs out: smaller passes, the same step. When the device is lost: a plain word."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from so8t_core.contract.errors import ResourceError
from so8t_core.phases.base import Emitter

_LOST = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "cuDNN error", "NCCL error")


class Passes:
    """How many rows go through the model at once; at first a whole micro-batch.

    Fewer rows a pass give the same step: its loss is a sum over all its targets, however they are
    cut. Only the order of floating-point sums and the draws of dropout differ. The state is part of
    a checkpoint, so that a resumed training cuts as it did.
    """

    def __init__(self, rows: int, emit: Emitter, state: Mapping[str, Any]) -> None:
        self._emit = emit
        self.whole = rows
        self.rows: int = state.get("rows", rows)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows}

    def cut(self, batch: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Parts of a micro-batch, each tensor (rows, ..) cut along its rows."""
        count = len(batch["input_ids"])
        for start in range(0, count, self.rows):
            yield {name: tensor[start : start + self.rows] for name, tensor in batch.items()}

    def halve(self, where: str, why: str) -> None:
        """After memory ran out: half as many rows a pass from now on, told to the engine.

        Raises `ResourceError` where it was one row already.
        """
        if self.rows == 1:
            raise ResourceError(
                f"Memory ran out with one sample in a pass: {why}",
                where=f"train, {where}",
                hint="Look in nvidia-smi for what else is on the GPU, then resume. In a new run "
                "lower train.max_length_tokens or train.lora_rank, set "
                "train.gradient_checkpointing: true, or store the base smaller "
                "(train.base_storage: int8 or nf4).",
            )
        before, self.rows = self.rows, -(-self.rows // 2)
        self._emit.fallback(
            f"{self.rows} samples a pass instead of {before}, the effective batch as before",
            f"memory ran out in {where}: {why}",
        )
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def no_smaller_passes(where: str, why: str) -> ResourceError:
    """That memory ran out on one rank, which the others cannot follow to smaller passes."""
    return ResourceError(
        f"Memory ran out on one of several GPUs: {why}",
        where=f"train, {where}",
        hint="Halve train.micro_batch_size, double train.accumulation_steps, and start a new run: "
        "the ranks cannot agree on smaller passes.",
    )


def first_line(error: BaseException) -> str:
    """The part of torch's long message that says what happened."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def no_room_for_model(error: torch.OutOfMemoryError) -> ResourceError:
    """That memory ran out before training began."""
    return ResourceError(
        f"The model does not fit on the GPU: {first_line(error)}",
        where="train",
        hint="Look in nvidia-smi for what else is on it, then resume. In a new run the base can be "
        "stored smaller (train.base_storage: int8 or nf4) or shared out among GPUs "
        "(train.parallel: fsdp).",
    )


@contextmanager
def lost_device_told(run: str) -> Iterator[None]:
    """Make a `ResourceError` of the error of a GPU that is gone, broken or full.

    What can be done about memory within a step has been done when it comes here.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"Memory ran out: {first_line(error)}",
            where="train",
            hint="Look in nvidia-smi for what else is on the GPU. The last checkpoint is intact: "
            f"`so8t resume {run}` goes on from it; smaller passes (train.micro_batch_size) are for "
            "a new run.",
        ) from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _LOST):
            raise
        raise ResourceError(
            f"The GPU was lost: {first_line(error)}",
            where="train",
            hint="Look at nvidia-smi and the driver's log. The last checkpoint is intact: "
            f"`so8t resume {run}` goes on from it, on any GPU.",
        ) from error

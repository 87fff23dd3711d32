"""Choosing micro-batch and checkpointing for a given memory: the fastest that fits, and why.

The choice is made once a training and kept beside it, so that a resume computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import psutil
import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.contract.files import write_json
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import Emitter
from so8t_core.training.footprint import (
    Estimate,
    Load,
    Means,
    ModelShape,
    estimate,
    recomputed_layers,
)

MARGIN = 0.08
"""Share of the memory that is left free: the estimate was up to 5.5 % low (docs/log.md), and
allocating in pieces wastes some."""
CONTEXT_BYTES = 800_000_000
"""What a CUDA context and its libraries take of a card before torch allocates anything."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of layers that recompute; what `auto` tries."""
_RECOMPUTING, _OVERHEAD_TOKENS = 0.53, 1940.0


@dataclass(frozen=True)
class Choice:
    """What a training runs with. Bytes; `memory_bytes` is what may be filled."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    micro_batch_size: Annotated[int, Field(ge=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    recomputed_share: Annotated[float, Field(ge=0, le=1)]
    memory_bytes: Annotated[int, Field(ge=0)]
    estimate_bytes: Annotated[int, Field(ge=0)]
    estimate_at: str
    why: str

    @property
    def fits(self) -> bool:
        """Whether the estimate is within the memory."""
        return self.estimate_bytes <= self.memory_bytes

    def applied(self, settings: TrainSettings) -> TrainSettings:
        """The settings with nothing left to choose."""
        share = self.recomputed_share
        chosen = {
            "micro_batch_size": self.micro_batch_size,
            "accumulation_steps": self.accumulation_steps,
            "gradient_checkpointing": bool(share) if share in (0.0, 1.0) else share,
        }
        return settings.model_copy(update=chosen)


_STORED = TypeAdapter(Choice)


def cost(rows: int, length: int, share: float) -> float:
    """Time a token, as a multiple of a step's without recomputation and with endless rows.

    From one H100 (docs/log.md, facts of the prototype): 49.1, 60.0 and 70.1 us a token with none,
    half and all of the layers recomputed at 4 x 2048, and 65.4 with all at 8 x 2048.
    """
    return 1.0 + _RECOMPUTING * share + _OVERHEAD_TOKENS / (rows * length)


def usable_bytes(card_bytes: int) -> int:
    """What training may fill of a card of that size."""
    return max(0, round((card_bytes - CONTEXT_BYTES) * (1.0 - MARGIN)))


def free_bytes(settings: TrainSettings, device: torch.device) -> int:
    """What training may fill: of the memory that the settings name, or of what is free now."""
    if settings.memory_gb != "auto":
        return usable_bytes(round(settings.memory_gb * 1e9))
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]  # the context is there already
    else:
        free = psutil.virtual_memory().available
    return round(free * (1.0 - MARGIN))


def _candidates(settings: TrainSettings, ranks: int) -> Iterator[tuple[int, int, float]]:
    shares = SHARES if settings.gradient_checkpointing == "auto" else (settings.recomputed_share,)
    steps = settings.accumulation_steps
    if settings.micro_batch_size == "auto":
        splits = [(rows, steps // rows) for rows in range(1, steps + 1) if steps % rows == 0]
    else:
        splits = [(settings.micro_batch_size, steps)]
    for rows, accumulation in splits:
        if accumulation % ranks == 0:
            yield from ((rows, accumulation, share) for share in shares)


def _estimate(
    shape: ModelShape,
    settings: TrainSettings,
    means: Means,
    length: int,
    candidate: tuple[int, int, float],
    ranks: int,
) -> Estimate:
    rows, accumulation, share = candidate
    layers = recomputed_layers(share, shape.layers)
    load = Load(
        rows,
        length,
        layers,
        masked=settings.packing,
        accumulated=accumulation > ranks,
        several=ranks > 1,
        shards=ranks if settings.sharded(ranks) else 1,
    )
    return estimate(shape, settings, means, load)


def choose(
    shape: ModelShape,
    settings: TrainSettings,
    means: Means,
    *,
    length: int,
    memory_bytes: int,
    ranks: int = 1,
) -> tuple[Choice, Estimate]:
    """The fastest candidate whose estimate fits; the samples of an optimiser step stay the same.

    What the settings fix is not varied, and taken whether it fits or not where they fix both.
    `length`: of the longest row. Raises `ResourceError` where nothing that may be chosen fits.
    """
    tried = [
        (cost(candidate[0], length, candidate[2]), candidate, found)
        for candidate in _candidates(settings, ranks)
        for found in (_estimate(shape, settings, means, length, candidate, ranks),)
    ]
    if not tried:
        raise _unshared(settings.accumulation_steps, ranks)
    free = "auto" in (settings.micro_batch_size, settings.gradient_checkpointing)
    fitting = [one for one in tried if one[2].peak_bytes <= memory_bytes]
    if free and not fitting:
        least = min(tried, key=lambda one: one[2].peak_bytes)
        raise ResourceError(
            f"Nothing fits into {shown_size(memory_bytes)}: the least of {len(tried)} "
            f"possibilities takes {shown_size(least[2].peak_bytes)}.",
            where="train.micro_batch_size, train.gradient_checkpointing, train.memory_gb",
            hint="Lower train.max_length_tokens or train.lora_rank, or store the base as nf4. Of "
            f"train.memory_gb, {shown_size(CONTEXT_BYTES)} and {MARGIN:.0%} of the rest stay free.",
        )
    _, (rows, accumulation, share), found = min(
        fitting if free else tried, key=lambda one: (one[0], one[2].peak_bytes)
    )
    choice = Choice(
        rows,
        accumulation,
        share,
        memory_bytes,
        found.peak_bytes,
        found.at,
        _reason(rows, accumulation, share, found, memory_bytes, len(fitting), len(tried)),
    )
    return choice, found


def shown_size(size_bytes: int, digits: int = 1) -> str:
    """In the unit that shows it: GB from a tenth of one on, else MB."""
    if size_bytes >= 10**8:
        return f"{size_bytes / 1e9:.{digits}f} GB"
    return f"{size_bytes / 1e6:.{digits}f} MB"


def _unshared(passes: int, ranks: int) -> ResourceError:
    return ResourceError(
        f"{passes} forward passes of a step cannot be shared out among {ranks} GPUs.",
        where="train.accumulation_steps, train.gpus",
        hint="Take a number of GPUs that divides them; in a new run, make train.accumulation_steps "
        f"a multiple of {ranks}.",
    )


def _reason(
    rows: int,
    accumulation: int,
    share: float,
    found: Estimate,
    memory_bytes: int,
    fitting: int,
    tried: int,
) -> str:
    chosen = (
        f"{rows} rows in a forward pass, {accumulation} of them in a step, {share:.0%} of the "
        f"layers recomputed: {shown_size(found.peak_bytes)} estimated, at {found.at}; "
        f"{shown_size(memory_bytes)} may be filled."
    )
    if tried == 1:
        return chosen
    return f"{chosen} The fastest of the {fitting} possibilities out of {tried} that fit."


def settle(
    path: Path,
    shape: ModelShape,
    settings: TrainSettings,
    means: Means,
    *,
    length: int,
    memory_bytes: int,
    ranks: int,
    emit: Emitter,
) -> Choice:
    """What this training runs with: as it began, else chosen now; `path` keeps what was `auto`.

    Says what was chosen and why, and where the memory seems too small for it. Raises
    `ResourceError` where nothing fits, or the passes cannot be shared out among the ranks.
    """
    free = "auto" in (settings.micro_batch_size, settings.gradient_checkpointing)
    known = kept_choice(path) if free else None
    if known is not None and _samples(known, settings) != settings.accumulation_steps:
        known = None  # of other settings: the checkpoints will say so
    if known is None:
        choice, _ = choose(
            shape, settings, means, length=length, memory_bytes=memory_bytes, ranks=ranks
        )
        if free:
            keep_choice(path, choice)
            emit.log("info", f"Chosen for the memory that there is: {choice.why}")
    else:
        choice = replace(known, memory_bytes=memory_bytes)
        if choice.accumulation_steps % ranks:
            raise _unshared(choice.accumulation_steps, ranks)
    if not choice.fits:
        emit.log(
            "warning",
            f"This training needs about {shown_size(choice.estimate_bytes)} of GPU memory (at "
            f"{choice.estimate_at}), and {shown_size(memory_bytes)} may be filled here.",
        )
    return choice


def _samples(choice: Choice, settings: TrainSettings) -> int:
    """What `accumulation_steps` was when the choice was made."""
    rows = choice.micro_batch_size if settings.micro_batch_size == "auto" else 1
    return rows * choice.accumulation_steps


def keep_choice(path: Path, choice: Choice) -> None:
    """Write the choice of a training, durably."""
    write_json(path, asdict(choice))


def kept_choice(path: Path) -> Choice | None:
    """The choice that a training began with; None where there is none yet.

    Raises `CheckpointError` for a damaged one: another choice would make other numbers.
    """
    if not path.is_file():
        return None
    try:
        return _STORED.validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError(
            "What this training chose at its start cannot be read.",
            where=str(path),
            hint="Set train.micro_batch_size and train.gradient_checkpointing yourself in a new "
            "run, or start afresh with `so8t train --run RUN --force-new-run`.",
        ) from error

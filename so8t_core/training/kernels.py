"""Which kernels a training runs on: chosen once, kept beside it, the same at each resume."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.contract.files import write_json
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.fused import ends_told, fused_wanted
from so8t_core.training.liger import liger_there, liger_wanted


@dataclass(frozen=True)
class Kernels:
    """What `auto` came to mean. `ends`: packed attention is told where samples end."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    liger: bool
    fused: bool
    ends: bool

    def applied(self, settings: TrainSettings) -> TrainSettings:
        """The settings with nothing left to choose."""
        chosen = {
            "liger": "on" if self.liger else "off",
            "fused": "on" if self.fused else "off",
            "packed_attention": "ends" if self.ends else "mask",
        }
        return settings.model_copy(update=chosen)


_STORED = TypeAdapter(Kernels)


def settle_kernels(
    path: Path, settings: TrainSettings, device: torch.device, dtype: torch.dtype
) -> Kernels:
    """What this training runs on: as it began, which `path` keeps, else chosen now.

    Other kernels add up in another order, so a package that was installed since changes nothing.
    Raises `ResourceError` where one is missing now, `CheckpointError` for a damaged file.
    """
    if not path.is_file():
        now = Kernels(
            liger=liger_wanted(settings, device),
            fused=fused_wanted(settings, device),
            ends=ends_told(settings, device, dtype),
        )
        write_json(path, asdict(now))
        return now
    try:
        kept = _STORED.validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError(
            "What this training chose at its start cannot be read.",
            where=str(path),
            hint="Start afresh with `so8t train --run RUN --force-new-run`.",
        ) from error
    if kept.liger and not liger_there(device):
        raise ResourceError(
            "This training began with Liger's kernels, which cannot be had now.",
            where=str(path),
            hint="Install liger-kernel again, on a machine with a GPU, or start afresh with `so8t "
            "train --run RUN --force-new-run`.",
        )
    return kept

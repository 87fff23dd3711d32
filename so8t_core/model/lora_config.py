"""adapter_config.json: the scale of each pair; what cannot be merged exactly is refused."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.model.weights import read_json

ADAPTER_CONFIG = "adapter_config.json"

_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the base's weights as they were."""
_MERGEABLE: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("peft_type", ("LORA",)),
    ("use_dora", (False, None)),
    ("use_qalora", (False, None)),
    ("use_bdlora", (None,)),
    ("fan_in_fan_out", (False, None)),
    ("bias", ("none", None)),
    ("lora_bias", (False, None)),
    ("init_lora_weights", (*_PLAIN_STARTS, None)),
    ("layer_replication", (None,)),
    ("alora_invocation_tokens", (None,)),
    ("arrow_config", (None,)),
    ("kasa_config", (None,)),
    ("monteclora_config", (None,)),
    ("target_parameters", (None, [])),
    ("trainable_token_indices", (None,)),
    ("modules_to_save", (None, [], ["rotation_gate"])),
)
"""By PEFT's names (LoraConfig): the values under which W + scale · B A is what it computes."""
_HINT = "Resume the training; it writes the adapter again."

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class LoraConfig(BaseModel):
    """What decides the scales. PEFT's file has many more fields; `read_lora_config` judges them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lora_alpha: _Number
    alpha_pattern: dict[str, _Number] | None = None
    use_rslora: Annotated[bool, Field(strict=True)] | None = None

    def scale(self, module: str, rank: int) -> float:
        """Alpha / r, or alpha / sqrt(r) with rslora (Kalajdzievski, 2023, arXiv:2312.03732)."""
        alpha = self.lora_alpha
        if self.alpha_pattern:
            from peft.utils.other import get_pattern_key

            alpha = self.alpha_pattern.get(get_pattern_key(list(self.alpha_pattern), module), alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def read_lora_config(folder: Path) -> LoraConfig:
    """Read an adapter folder's configuration.

    Raises `InputMissing` where there is none, `ModelError` where it is damaged or is of an adapter
    that cannot be merged exactly.
    """
    path = folder / ADAPTER_CONFIG
    if not os.path.exists(path):  # unlike Path's, False for a name that is too long
        raise InputMissing(
            "This is no adapter folder: it has no adapter_config.json.",
            where=str(folder),
            hint="Give the folder `train/adapter` of a finished training.",
        )
    raw = read_json(path, "of the adapter", hint=_HINT)
    for key, allowed in _MERGEABLE:
        if raw.get(key) not in allowed:
            raise ModelError(
                f"An adapter with {key} = {str(raw.get(key))[:60]} cannot be merged exactly.",
                where=str(path),
                hint="Train plain LoRA, with rotation_gate as the only module to save.",
            )
    return _parsed(raw, path)


def _parsed(raw: dict[str, Any], path: Path) -> LoraConfig:
    try:
        config = LoraConfig.model_validate(raw)
        for pattern in config.alpha_pattern or ():
            re.compile(pattern)
    except (ValidationError, re.error, RecursionError) as error:
        found = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ModelError(
            f"The adapter's configuration does not give its scale ({found[:200]}).",
            where=str(path),
            hint=_HINT,
        ) from error
    return config

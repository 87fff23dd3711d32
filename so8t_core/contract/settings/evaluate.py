"""Settings of the evaluate section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from so8t_core.contract.settings.base import Section
from so8t_core.contract.settings.tasks import SafetyTestSettings, TaskSettings


class EvaluateSettings(Section):
    """Settings of the evaluate section."""

    max_documents: int = Field(
        200, ge=1, description="Held-out documents whose bits per byte are measured."
    )
    max_answers: int = Field(
        200, ge=0, description="Held-out human answers whose bits per byte are measured."
    )
    max_tokens_per_item: int = Field(
        1024, ge=8, description="A document or an answer is scored up to this many tokens."
    )
    max_prompts: int = Field(
        50, ge=0, description="Held-out instructions that both models answer, for format checks."
    )
    max_prompt_tokens: int = Field(
        1024, ge=8, description="Instructions with longer prompts are left out, and counted."
    )
    max_new_tokens: int = Field(256, ge=1, description="Longest generated answer, in tokens.")
    min_kana_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="An answer counts as Japanese when at least this share of its letters is kana.",
    )
    tasks: tuple[TaskSettings, ...] = Field(
        (),
        description="Japanese benchmarks to run through lm-evaluation-harness, each once; they "
        "need the extra so8t[evaluation].",
    )
    max_task_tokens: int = Field(
        4096, ge=64, description="A task's prompt with its examples and answer must fit into this."
    )
    safety: SafetyTestSettings = Field(
        default_factory=SafetyTestSettings, description="Refusal of unsafe and of safe requests."
    )
    samples: int = Field(8, ge=0, description="Answers kept side by side in samples.json.")
    bootstrap_resamples: int = Field(
        2000, ge=100, description="Resamples of the paired bootstrap intervals."
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of every interval.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where models are run.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of both models; auto: bfloat16 on a GPU, float32 on a CPU."
    )

    @model_validator(mode="after")
    def _each_task_once(self) -> EvaluateSettings:
        names = [task.name for task in self.tasks]
        if len(set(names)) != len(names):
            raise ValueError("tasks names a benchmark twice")
        return self

"""Settings of the cleanse section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from so8t_core.contract.labels import PersonalData
from so8t_core.contract.settings.base import AbsolutePath, Section

QualityPreset = Literal["so8t", "swallow", "fineweb2", "llmjp", "llmjp_strict"]


class ClassifierSettings(Section):
    """How `so8t cleanse train-classifier` trains."""

    seed: int = Field(0, ge=0, description="Seed of the split and of the order of texts.")
    epochs: int = Field(12, ge=1, le=1000, description="Passes over the training texts.")
    rate: float = Field(0.5, gt=0, description="Step size of Adagrad.")
    decay: float = Field(1e-4, ge=0, description="Weight decay.")


class CleanseSettings(Section):
    """From crawled pages to a corpus, instruction pairs and safety data."""

    executor: Literal["local", "ray", "slurm"] = Field(
        "local",
        description="Where workers run: on this machine, on a Ray cluster, or as Slurm jobs. The "
        "last two need the run directory on a file system that all machines see.",
    )
    workers: int = Field(
        0, ge=0, le=256, description="Worker processes; 0 takes one for each CPU core."
    )
    slurm_partition: str = Field("cpu", description="Slurm partition of the workers' jobs.")
    slurm_time: str = Field(
        "12:00:00",
        pattern="^[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]$",
        description="Slurm time limit of a worker's job, as hours:minutes:seconds.",
    )
    pool_min_documents: int = Field(
        200,
        ge=0,
        description="With fewer pages than this everything runs in one process: starting workers "
        "would cost more than it saves.",
    )
    shard_documents: int = Field(
        1000, ge=1, le=5000, description="Pages in one shard; a kill repeats at most one a worker."
    )
    max_page_bytes: int = Field(
        4_000_000, ge=1000, description="Pages whose payload is larger are dropped."
    )
    page_timeout_s: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="A worker that is at one page for longer is ended; a page at which that "
        "happens twice is dropped.",
    )
    quality_preset: QualityPreset = Field(
        "so8t", description="The named set of quality thresholds that pages must meet."
    )
    min_kana_ratio: float = Field(
        0.10, ge=0, le=1, description="Share of kana among letters below which it is not Japanese."
    )
    drop_personal_data: tuple[PersonalData, ...] = Field(
        (),
        description="Types of personal data whose pages are dropped; all others are masked by a "
        "placeholder of their type.",
    )
    boilerplate_min_pages: int = Field(
        5, ge=2, description="A line is boilerplate only if so many pages of its host carry it."
    )
    boilerplate_min_share: float = Field(
        0.3, gt=0, le=1, description="And only if this share of the host's pages carries it."
    )
    near_duplicate_jaccard: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Texts whose sets of character 5-grams overlap by this much are duplicates.",
    )
    minhash_bands: int = Field(32, ge=1, description="Bands of the MinHash signature.")
    minhash_rows: int = Field(4, ge=1, description="Rows of each band.")
    earlier_runs: tuple[AbsolutePath, ...] = Field(
        (),
        description="Run directories whose corpus is known already: pages that nearly equal one of "
        "its texts are dropped.",
    )
    min_repeated_passage: int = Field(
        300,
        ge=0,
        description="Passages of at least so many characters that stand on an earlier page are cut "
        "from the later one; 0 leaves them.",
    )
    max_instruction_characters: int = Field(
        300, ge=10, description="Longer questions do not become instruction pairs."
    )
    min_output_characters: int = Field(
        20, ge=1, description="Shorter answers do not become instruction pairs."
    )
    max_output_characters: int = Field(
        2000, ge=50, description="Longer answers are cut at the last paragraph that fits."
    )
    max_safety_characters: int = Field(
        1000, ge=50, description="Flagged passages are cut to this length in the safety data."
    )
    allow_per_flagged: float = Field(
        1.0,
        ge=0,
        description="Harmless passages (label ALLOW) for each flagged one in the safety data.",
    )
    safety_classifier: AbsolutePath | None = Field(
        None,
        description="Folder of a classifier that `so8t cleanse train-classifier` built; it flags "
        "what the word lists miss.",
    )
    classifier_flag_above: float = Field(
        0.9, gt=0, le=1, description="Probability of a category from which it is flagged as such."
    )
    classifier_escalate_above: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Probability of being unsafe at all from which a text is escalated.",
    )
    validation_share: float = Field(
        0.05, ge=0, lt=0.5, description="Share of the groups held out for validation."
    )
    test_share: float = Field(
        0.05, ge=0, lt=0.5, description="Share of the groups held out for the final evaluation."
    )

    @model_validator(mode="after")
    def _output_bounds(self) -> CleanseSettings:
        if self.min_output_characters > self.max_output_characters:
            raise ValueError("min_output_characters must not exceed max_output_characters")
        return self

"""Settings of the train section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from so8t_core.contract.settings.base import AbsolutePath, Section
from so8t_core.contract.settings.tasks import absolute_place

# What may differ between a checkpoint and the run that resumes it, because it changes no number:
# when to save, and where the same bytes lie (they are compared by digest instead).
MOST_GPUS = 64
OPERATIONAL = frozenset(
    {
        "model_path",
        "dataset",
        "validation_dataset",
        "save_every_steps",
        "save_every_s",
        "keep_checkpoints",
        "sample_prompts",
        "sample_max_tokens",
        "memory_gb",
        "trackers",
        "tracker_project",
        "gpus",
        "parallel",
    }
)
STEERING = frozenset(
    {
        "bad_step",
        "back_off_factor",
        "max_bad_steps_in_a_row",
        "max_bad_steps",
        "loss_explosion",
        "grad_norm_explosion",
        "adapter_from",
        "early_stopping_patience",
        "early_stopping_min_delta",
    }
)
"""What steers the steps to come and changes no number before them: free to change on the way."""


class TrainSettings(Section):
    """Settings of the train section."""

    model_path: AbsolutePath | None = Field(
        None,
        description="An SO8T checkpoint's folder. Left out in a pipeline: integrate's result.",
    )
    dataset: str | None = Field(
        None,
        min_length=1,
        description="Your own data: a .jsonl, .json or .parquet file, or "
        "hub:OWNER/NAME[:CONFIG][@SPLIT] for a data set on the Hugging Face hub. Left out in a "
        "pipeline: cleanse's result.",
    )
    dataset_format: Literal[
        "auto", "thinking", "alpaca", "messages", "prompt_completion", "text"
    ] = Field(
        "auto",
        description="Format of `dataset`; auto tells it from the fields of its first row that are "
        "not null, and refuses a row of another format.",
    )
    unanswered_rows: Literal["refuse", "drop"] = Field(
        "refuse",
        description="What happens when a row of `dataset` asks and has no answer: refuse the data "
        "set and name the row, or drop such rows and count them.",
    )
    validation_dataset: str | None = Field(
        None,
        min_length=1,
        description="Rows for the held-out loss, in the format of `dataset`; a place as there.",
    )
    validation_fraction: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Most of `dataset`, as a share, that is held out when there is no "
        "`validation_dataset`: as many rows as `eval_max_samples` measures.",
    )
    instruction_fraction: float = Field(
        1.0,
        ge=0,
        description="How much of the instruction pairs an epoch holds; above 1 repeats them.",
    )
    corpus_fraction: float = Field(
        1.0, ge=0, description="The same for plain documents of the corpus."
    )
    safety_fraction: float = Field(
        1.0, ge=0, description="The same for the safety rows, which teach detection and refusal."
    )
    thinking_fraction: float = Field(
        1.0,
        ge=0,
        description="The same for answers in four parts, which `so8t serve` needs the model to "
        "have learnt.",
    )
    chat_format: Literal["template", "plain"] = Field(
        "template",
        description="template: the tokenizer's own chat template; plain: headings as plain text, "
        "for a base model that has no template.",
    )
    max_length_tokens: int = Field(2048, ge=8, description="Longest sample, in tokens.")
    long_pairs: Literal["cut", "drop"] = Field(
        "cut", description="What happens to a longer conversation; long documents are split."
    )
    packing: bool = Field(
        True,
        description="Fill rows of `max_length_tokens` with several samples, which never see one "
        "another: no padding, so more tokens a second. `micro_batch_size` and steps count rows.",
    )
    packed_attention: Literal["auto", "mask", "ends"] = Field(
        "auto",
        description="How attention keeps packed samples apart. mask: one mask for each batch; "
        "ends: flash attention is told where samples end, with `fused` operations alone, which "
        "took a fifth of the time. auto: ends on a GPU in 16 bits, a mask elsewhere.",
    )

    base_storage: Literal["int8", "nf4", "bf16", "float32"] = Field(
        "int8", description="How the frozen linears are stored: LLM.int8, NF4, or unquantised."
    )
    int8_matmul: Literal["dequantized", "llm_int8"] = Field(
        "dequantized",
        description="How int8 linears multiply on a GPU. dequantized: weights as 16-bit numbers; "
        "llm_int8: bitsandbytes' own product, which rounds activations to 8 bits as well. On CPU "
        "bitsandbytes' path is used for both; while training it multiplies dequantised weights.",
    )
    liger: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Liger's kernels for norm, MLP, position embedding and loss. auto: on a GPU "
        "where liger-kernel is installed; on: required.",
    )
    fused: Literal["auto", "on", "off"] = Field(
        "auto",
        description="LoRA, gates, MLP and position embedding by our own joined operations instead "
        "of PEFT's and Phi-3's many. auto: on a GPU, unless `int8_matmul` is llm_int8; on: on CPU "
        "too, for tests.",
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="Precision of the arithmetic; auto: bfloat16 on a GPU, float32 on CPU."
    )
    deterministic: bool = Field(
        False,
        description="On a GPU, gradients of attention with the same bits in every run, so that a "
        "resumed training equals an uninterrupted one to the bit, as it always does on CPU. "
        "Attention is slower then; without it the last bits may differ.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where training runs.")
    gpus: int = Field(
        1,
        ge=1,
        le=MOST_GPUS,
        description="GPUs of this machine that train together, one process each (with `device: "
        "cpu`, processes). The forward passes of a step are shared out among them.",
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="How several GPUs share the work. ddp: each holds the whole base; fsdp: each "
        "holds its part of it, and layers come together when they are needed. Slower, for a base "
        "that one GPU has no room for; it cannot be done with int8.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads of torch. Left out: those of the machine at the first start, kept "
        "on every resume because sums depend on them.",
    )
    gradient_checkpointing: bool | Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        True,
        description="Recompute activations in the backward pass: slower, far less memory. true: in "
        "all layers, false: in none; a number between 0 and 1: in that share of them (0.5 is the "
        "first half); auto: in as few as fit the memory.",
    )
    memory_gb: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        "auto",
        description="Memory of the GPU in GB (10^9 bytes), for what is `auto` and for the estimate "
        "before the start; auto: what is free when training starts.",
    )

    lora_rank: int = Field(64, ge=1, description="Rank r of the LoRA matrices.")
    lora_alpha: int = Field(128, ge=1, description="LoRA scale: alpha / r.")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before LoRA's A.")
    lora_targets: tuple[str, ...] = Field(
        ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
        min_length=1,
        description="Linears that get LoRA, by the last part of their name; each must exist.",
    )
    train_gates: bool = Field(True, description="Train the SO(8) gates besides LoRA.")

    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate of LoRA.")
    gate_learning_rate: float = Field(
        2.5e-3,
        gt=0,
        description="Peak learning rate of the gates: beside LoRA at its best the lowest of those "
        "tried did best (docs/evidence.md); at LoRA's they hardly move.",
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="Course of LoRA's learning rate after the warm-up."
    )
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of all steps that warm up.")
    gate_schedule: Literal["same", "cosine", "linear", "constant"] = Field(
        "same", description="Course of the gates' learning rate; same: as LoRA's."
    )
    gate_warmup_fraction: float | None = Field(
        None, ge=0, lt=1, description="Share of all steps that the gates warm up; null: as LoRA."
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay of LoRA; gates have none.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    optimizer: Literal["paged_adamw_8bit", "adamw_8bit", "adamw"] = Field(
        "adamw_8bit",
        description="AdamW with 8-bit states for LoRA, or 32-bit for all. Paged states leave a GPU "
        "whose memory runs short; their updates take the host longer. The gates' states are always "
        "float32.",
    )
    orthogonality_weight: float = Field(
        0.01,
        ge=0,
        description="Weight of the mean of |R'R - I|^2 over all blocks. It has a gradient with the "
        "`free` parametrisation only: exp and cayley are orthogonal by construction.",
    )
    rotation_size_weight: float = Field(
        0.0, ge=0, description="Weight of the mean of |A|^2 over all blocks: keeps rotations small."
    )
    pet_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of PET: the mean square of the second difference of the last hidden "
        "states along the tokens of a sample. A tenth of it counts in the first fifth of the "
        "steps, half of it up to three fifths, then all. 0: off.",
    )

    epochs: float = Field(1.0, gt=0, le=1e6, description="Passes over the data.")
    max_steps: int | None = Field(
        None, ge=1, le=10**9, description="Optimiser steps in all; overrides `epochs`."
    )
    micro_batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        1,
        description="Samples, or packed rows, in one forward pass; auto: what is fastest and fits "
        "the memory, `accumulation_steps` then being the samples of a whole optimiser step.",
    )
    accumulation_steps: int = Field(
        16, ge=1, description="Forward passes in one optimiser step, those of all GPUs together."
    )
    save_every_steps: int = Field(500, ge=1, description="Checkpoint after so many steps.")
    save_every_s: float = Field(
        180.0, gt=0, description="Checkpoint when the last one is this old, in seconds."
    )
    keep_checkpoints: int = Field(5, ge=1, description="Newest checkpoints that are kept.")
    eval_every_steps: int = Field(
        500, ge=0, description="Held-out loss after so many steps; 0: at the start and end only."
    )
    eval_max_samples: int = Field(
        64, ge=0, description="Most held-out samples per evaluation; 0: no evaluation."
    )
    sample_prompts: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] = Field(
        (
            "日本の首都はどこですか。",
            "よい睡眠のこつを三つ教えてください。",
            "次の文を英語に訳してください。「明日は雨が降るでしょう。」",
        ),
        max_length=20,
        description="Questions that the model answers at each evaluation, to be looked at; they "
        "change no number of the training. Of an answer in thinking parts only the final one is "
        "shown.",
    )
    sample_max_tokens: int = Field(
        64, ge=1, le=4096, description="Longest answer to such a question, in tokens."
    )
    bad_step: Literal["stop", "skip", "back_off"] = Field(
        "stop",
        description="What happens at a step whose loss or gradient is not finite, or explodes. "
        "skip: it changes nothing; back_off: the same, and learning rates are lowered for good.",
    )
    back_off_factor: float = Field(
        0.5, gt=0, lt=1, description="What learning rates are multiplied by when backing off."
    )
    max_bad_steps_in_a_row: int = Field(
        3, ge=1, description="So many bad steps in a row are borne; one more stops the training."
    )
    max_bad_steps: int = Field(
        20, ge=1, description="So many bad steps in all are borne; one more stops the training."
    )
    loss_explosion: float | None = Field(
        None,
        gt=1,
        description="A step is bad also when its loss is this many times the average of the last "
        "20 good ones; null: only when it is not finite.",
    )
    grad_norm_explosion: float | None = Field(
        None, gt=1, description="The same for the norm of the gradient before clipping."
    )
    adapter_from: Literal["auto", "last", "best"] = Field(
        "auto",
        description="Which checkpoint the adapter is made from: the last, or the one of the lowest "
        "held-out loss, which is kept besides the newest. auto: the best where early stopping is "
        "on, else the last.",
    )
    early_stopping_patience: int = Field(
        0,
        ge=0,
        description="Stop after so many scheduled evaluations in a row without a gain; 0: never. "
        "The evaluation before the first step does not count.",
    )
    early_stopping_min_delta: float = Field(
        0.0, ge=0, description="How much the held-out loss must fall to count as a gain."
    )

    @field_validator("dataset", "validation_dataset", mode="before")
    @classmethod
    def _places(cls, value: object) -> object:
        return absolute_place(str(value)) if isinstance(value, str | Path) and str(value) else value

    @model_validator(mode="after")
    def _something_to_judge_by(self) -> TrainSettings:
        if not self.eval_max_samples and (
            self.adapter_from == "best" or self.early_stopping_patience
        ):
            raise ValueError(
                "adapter_from: best and early_stopping_patience need eval_max_samples above 0"
            )
        if self.early_stopping_patience and not self.eval_every_steps:
            raise ValueError("early_stopping_patience needs eval_every_steps above 0")
        return self

    @model_validator(mode="after")
    def _no_sharded_int8(self) -> TrainSettings:
        if self.parallel == "fsdp" and self.base_storage == "int8":
            raise ValueError(
                "parallel: fsdp cannot shard a base stored as int8: its scales lie beside the "
                "weights, where sharding does not reach them; use ddp, or store it as bf16 or nf4"
            )
        return self

    @property
    def micro_batch(self) -> int:
        """`micro_batch_size` once it is chosen. Raises ValueError while it is auto."""
        if self.micro_batch_size == "auto":
            raise ValueError("micro_batch_size has not been chosen yet")
        return self.micro_batch_size

    def sharded(self, ranks: int) -> bool:
        """Whether the base is shared out: there must be somebody to share it with."""
        return self.parallel == "fsdp" and ranks > 1

    @property
    def stock_int8(self) -> bool:
        """Whether int8 linears multiply by bitsandbytes' own product, which nothing replaces."""
        return self.base_storage == "int8" and self.int8_matmul == "llm_int8"

    @property
    def recomputed_share(self) -> float:
        """Of the layers, 0 to 1, once it is chosen. Raises ValueError while it is auto."""
        if self.gradient_checkpointing == "auto":
            raise ValueError("gradient_checkpointing has not been chosen yet")
        return float(self.gradient_checkpointing)

    trackers: tuple[Literal["wandb", "mlflow", "trackio"], ...] = Field(
        (),
        description="Services that are told the figures of each step as well; each must be "
        "installed. TensorBoard's event files are written in any case, to train/tensorboard.",
    )
    tracker_project: str = Field(
        "so8t", min_length=1, description="Name of the project or experiment in these services."
    )

    @field_validator("trackers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names a tracker twice")
        return value

    @model_validator(mode="after")
    def _no_empty_mix(self) -> TrainSettings:
        if not any(
            (
                self.instruction_fraction,
                self.corpus_fraction,
                self.safety_fraction,
                self.thinking_fraction,
            )
        ):
            raise ValueError(
                "instruction_, corpus_, safety_ and thinking_fraction are all 0: nothing to train"
            )
        return self

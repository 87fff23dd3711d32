"""Contenders of `train_throughput.py` in its own process, and those of the stock stacks.

Transformers' Trainer on PEFT and bitsandbytes, and TRL's SFTTrainer on models of its own, since it
patches them. TRL packs samples of a quarter of the length in two ways: `bfd`, its default, which
flattens all rows of a step into one and is meant for FlashAttention, and `wrapped`, which keeps the
rows and lets samples see each other.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import gated_step
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig, get_peft_model
from throughput_round import GPU, LORA_ALPHA, LORA_RANK, Clock, Rows, stock_arguments
from torch import Tensor, nn
from transformers import Phi3Config, Phi3ForCausalLM, Trainer, TrainingArguments

from so8t_core.training.trainer import SO8TTrainer

DEVICE = torch.device("cuda" if GPU else "cpu")
TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


@dataclass
class Contender(ABC):
    """A way to train, and what its rounds gave."""

    name: str
    tokens_per_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @abstractmethod
    def round(self, steps: int, tokens: int) -> None:
        """Train some steps."""


@dataclass
class InProcess(Contender):
    """A contender in this process: what its rounds run on, and the bytes of its own model."""

    trainer: Callable[[int, Path], Trainer] = field(kw_only=True)
    own_bytes: int = field(kw_only=True)

    def round(self, steps: int, tokens: int) -> None:
        """Train some steps."""
        with tempfile.TemporaryDirectory() as folder:
            trainer, clock = self.trainer(steps + 1, Path(folder)), Clock()
            trainer.add_callback(clock)
            gc.collect()
            if GPU:
                torch.cuda.empty_cache()
                foreign = torch.cuda.memory_allocated() - self.own_bytes
                torch.cuda.reset_peak_memory_stats()
            trainer.train()
            if isinstance(trainer, SO8TTrainer):  # or whoever is next shares the host with it
                trainer._keeper.writer.wait()
            if GPU:
                peak = torch.cuda.max_memory_allocated() - foreign
                self.peak_bytes = max(self.peak_bytes, peak)
        self.tokens_per_s.append(tokens / clock.step_s)


def shape(options: argparse.Namespace) -> dict[str, Any]:
    """The model's configuration."""
    whole = gated_step.shape(2 if options.tiny else options.layers)
    if options.tiny:
        small = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
        whole |= small | {"num_key_value_heads": 4, "vocab_size": 512, "pad_token_id": 0}
        whole |= {"eos_token_id": 1, "bos_token_id": 1}
        whole["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    return whole


def store_nf4(base: nn.Module) -> None:
    """Store the layers' linears as `load_in_4bit` does: NF4, double quantisation, bf16 products."""
    for parent in list(base.model.layers.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Linear:
                continue
            with torch.device("meta"):
                stored = Linear4bit(
                    child.in_features, child.out_features, False, torch.bfloat16, True, "nf4"
                )
            stored.weight = Params4bit(
                child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
            ).to(DEVICE)
            setattr(parent, name, stored)
    base.is_loaded_in_4bit = True


def stored_base(storage: str, options: argparse.Namespace) -> Any:
    """A stock model whose linears are stored that way."""
    base = new_base(Phi3ForCausalLM, Phi3Config(**shape(options)))
    if storage == "int8":
        gated_step.store_int8(base)
    elif storage == "nf4":
        store_nf4(base)
    base.enable_input_require_grads()
    return base


def with_lora(base: Any) -> Any:
    """PEFT's adapter on all linears, from one seed."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=LORA_RANK, lora_alpha=LORA_ALPHA, lora_dropout=0.05, target_modules=list(TARGETS)
    )
    return get_peft_model(base, config).train()


def new_base(kind: Any, config: Any) -> Any:
    """A base of random weights on the device."""
    gated_step.DEVICE = DEVICE
    with gated_step.bf16_on_gpu():
        return kind(config)


def stock(storage: str, options: argparse.Namespace, data: Tensor) -> dict[str, Contender]:
    """Transformers' Trainer on PEFT and bitsandbytes, checkpointed (re-entrant) and not."""
    before = torch.cuda.memory_allocated() if GPU else 0
    base = stored_base(storage, options)
    model = with_lora(base)
    own = torch.cuda.memory_allocated() - before if GPU else 0

    def build(checkpointed: bool) -> Callable[[int, Path], Trainer]:
        def made(steps: int, folder: Path) -> Trainer:
            if checkpointed:
                base.gradient_checkpointing_enable({"use_reentrant": True})
            else:
                base.gradient_checkpointing_disable()
            settings = stock_arguments(folder, steps, options.rows) | checkpointing(checkpointed)
            arguments = TrainingArguments(**settings)
            return Trainer(model=model, args=arguments, train_dataset=Rows(data))

        return made

    return {
        name: InProcess(name, trainer=build(checkpointed), own_bytes=own)
        for name, checkpointed in ((f"stock_{storage}", True), (f"stock_{storage}_whole", False))
    }


def checkpointing(on: bool) -> dict[str, Any]:
    """What a stock trainer is told about it."""
    return {
        "gradient_checkpointing": on,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
    }


def trl(storage: str, options: argparse.Namespace, data: Tensor) -> dict[str, Contender]:
    """TRL's SFTTrainer, which packs in two ways, checkpointed and not."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    from so8t_core.model.loading import load_tokenizer
    from so8t_core.model.tiny import build_tiny

    before = torch.cuda.memory_allocated() if GPU else 0
    base = stored_base(storage, options)
    model = with_lora(base)
    own = torch.cuda.memory_allocated() - before if GPU else 0
    with tempfile.TemporaryDirectory() as place:
        build_tiny(Path(place), seed=7)
        tokenizer = load_tokenizer(Path(place))  # nothing is tokenised; the trainer asks for one
    rows = data.view(-1, data.shape[1] // 4).tolist()
    samples = datasets.Dataset.from_list([{"input_ids": row, "labels": row} for row in rows])

    def build(strategy: str, checkpointed: bool) -> Callable[[int, Path], Trainer]:
        def made(steps: int, folder: Path) -> Trainer:
            if not checkpointed:
                base.gradient_checkpointing_disable()
            arguments = SFTConfig(
                **stock_arguments(folder, steps, options.rows),
                **checkpointing(checkpointed),
                packing=True,
                packing_strategy=strategy,
                max_length=options.length,
            )
            trainer: Trainer = SFTTrainer(
                model=model, args=arguments, train_dataset=samples, processing_class=tokenizer
            )
            return trainer

        return made

    contenders: dict[str, Contender] = {}
    for strategy, checkpointed in product(("bfd", "wrapped"), (True, False)):
        name = f"trl_{storage}" + ("" if strategy == "bfd" else f"_{strategy}")
        name += "" if checkpointed else "_whole"
        trainer = build(strategy, checkpointed)
        contenders[name] = InProcess(name, trainer=trainer, own_bytes=own)
    return contenders

"""Tokens a second of whole trainings through Trainer on a GPU: ours and the stock stacks.

    python benchmarks/train_throughput.py OUT.json [--rounds 3] [--rows 4] [--length 2048]
    python benchmarks/train_throughput.py OUT.json --storages nf4 --trl nf4
    python benchmarks/train_throughput.py OUT.json --tiny     # two small layers, also on a CPU

The shape is Phi-3.5-mini's with random weights, LoRA r 64 on all linears. Every contender trains on
rows that are full, so all tokens count and none is padding, which flatters the stock stacks: they
are used to padded rows. Ours has gates, its own trainer, checkpoint and series; the stock ones have
transformers' Trainer, PEFT and bitsandbytes. With `--trl` TRL's SFTTrainer packs samples of a
quarter of the length, on models of its own, since it patches them. All share one process and take
turns; a round's figure is the mean of its steps after the first. Each round is written when it is
done. One module, since all contenders must be built and run in the same way.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gated_step
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    Phi3Config,
    Phi3ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TPhi3ForCausalLM
from so8t_core.phases.standalone import OpenGate, RecordingEmitter
from so8t_core.training.adapter import attach_adapter
from so8t_core.training.base_model import _checkpoint_activations
from so8t_core.training.checkpoint import CheckpointStore
from so8t_core.training.dataset import SampleSet
from so8t_core.training.encoding import Encoded
from so8t_core.training.fused import fuse
from so8t_core.training.gate_terms import GateTerms, trained_gates
from so8t_core.training.history import HistoryFile
from so8t_core.training.liger import apply_liger
from so8t_core.training.packing import PackedSet
from so8t_core.training.samples import SampleWriter
from so8t_core.training.schedule import training_arguments
from so8t_core.training.series import SeriesFile
from so8t_core.training.surroundings import Surroundings
from so8t_core.training.trackers import Trackers
from so8t_core.training.trainer import SO8TTrainer

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
CAPS = {"small": 10.5e9, "large": 37e9}


class Rows(Dataset[dict[str, Tensor]]):
    """Full rows for the stock Trainer."""

    def __init__(self, ids: Tensor) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self._ids[index], "labels": self._ids[index]}


class Clock(TrainerCallback):
    """The time of all steps but the first; in between nobody is made to wait for the device."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.steps = 0

    def on_step_end(self, arguments: Any, *_: Any, **__: Any) -> None:
        """After the first step and the last wait for the device and note the time."""
        self.steps += 1
        if self.steps not in (1, arguments.max_steps):
            return
        if GPU:
            torch.cuda.synchronize()
        self.ended = time.perf_counter()
        if self.steps == 1:
            self.began = self.ended

    @property
    def step_s(self) -> float:
        """Mean time of a step."""
        return (self.ended - self.began) / (self.steps - 1)


@dataclass
class Contender:
    """A way to train: what its rounds run on, and what they gave."""

    name: str
    trainer: Callable[[int, Path], Trainer]
    tokens_per_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    own_bytes: int = 0

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


def shape(tiny: bool) -> dict[str, Any]:
    """The model's configuration."""
    whole = gated_step.shape(2 if tiny else 32)
    if tiny:
        small = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
        whole |= small | {"num_key_value_heads": 4, "vocab_size": 512, "pad_token_id": 0}
        whole |= {"eos_token_id": 1, "bos_token_id": 1}
        whole["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    return whole


def ids(count: int, length: int, vocabulary: int) -> Tensor:
    """Rows of token ids as frequent as in a language (Zipf), always the same."""
    generator = torch.Generator().manual_seed(1)
    weights = 1.0 / torch.arange(1, vocabulary - 1, dtype=torch.float64)
    drawn = torch.multinomial(weights, count * length, replacement=True, generator=generator)
    return 1 + drawn.view(count, length)


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
    base = new_base(Phi3ForCausalLM, Phi3Config(**shape(options.tiny)))
    if storage == "int8":
        gated_step.store_int8(base)
    elif storage == "nf4":
        store_nf4(base)
    base.enable_input_require_grads()
    return base


def with_lora(base: Any) -> Any:
    """PEFT's adapter on all linears, from one seed."""
    torch.manual_seed(0)
    config = LoraConfig(r=64, lora_alpha=128, lora_dropout=0.05, target_modules=list(TARGETS))
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
            arguments = TrainingArguments(**stock_arguments(folder, steps, checkpointed, options))
            return Trainer(model=model, args=arguments, train_dataset=Rows(data))

        return made

    return {
        name: Contender(name, build(checkpointed), own_bytes=own)
        for name, checkpointed in ((f"stock_{storage}", True), (f"stock_{storage}_whole", False))
    }


def stock_arguments(
    folder: Path, steps: int, checkpointed: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """What all stock trainers are told."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": options.rows,
        "learning_rate": 2e-4,
        "bf16": True,
        "use_cpu": not GPU,
        "optim": "adamw_bnb_8bit",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "gradient_checkpointing": checkpointed,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
    }


def trl(storage: str, options: argparse.Namespace, data: Tensor) -> dict[str, Contender]:
    """TRL's SFTTrainer, which packs, checkpointed and not."""
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

    def build(checkpointed: bool) -> Callable[[int, Path], Trainer]:
        def made(steps: int, folder: Path) -> Trainer:
            if not checkpointed:
                base.gradient_checkpointing_disable()
            arguments = SFTConfig(
                **stock_arguments(folder, steps, checkpointed, options),
                packing=True,
                max_length=options.length,
            )
            trainer: Trainer = SFTTrainer(
                model=model, args=arguments, train_dataset=samples, processing_class=tokenizer
            )
            return trainer

        return made

    return {
        name: Contender(name, build(checkpointed), own_bytes=own)
        for name, checkpointed in ((f"trl_{storage}", True), (f"trl_{storage}_whole", False))
    }


def ours(options: argparse.Namespace, data: Tensor) -> dict[str, Contender]:
    """SO8TTrainer with gates on int8 storage, checkpointed and not."""
    settings = TrainSettings(
        optimizer="adamw_8bit",
        micro_batch_size=options.rows,
        accumulation_steps=1,
        max_length_tokens=options.length,
        eval_max_samples=0,
        sample_prompts=(),
        save_every_s=1e9,
        save_every_steps=10**9,
    )
    before = torch.cuda.memory_allocated() if GPU else 0
    base = new_base(SO8TPhi3ForCausalLM, SO8TPhi3Config(**shape(options.tiny)))
    gated_step.store_int8(base)
    base.config.use_cache = False
    if GPU:
        gated_step.multiply_dequantized(base)
        apply_liger(base)
    model = attach_adapter(base, settings, 0).train()
    fuse(model)
    own = torch.cuda.memory_allocated() - before if GPU else 0
    whole = [Encoded(row, [True] * len(row)) for row in data.tolist()]
    samples = PackedSet(SampleSet(whole), options.length)

    def build(checkpointed: bool) -> Callable[[int, Path], Trainer]:
        def made(steps: int, folder: Path) -> Trainer:
            if checkpointed:
                _checkpoint_activations(base)
            else:
                base.gradient_checkpointing_disable()
            gates = trained_gates(model)
            return SO8TTrainer(
                model=model,
                arguments=training_arguments(folder, settings, steps, 0, DEVICE, bf16=True),
                settings=settings,
                samples=samples,
                held_out=None,
                sampler=SampleWriter((), frozenset(), 1, str),
                pad_id=0,
                terms=GateTerms(gates, settings.orthogonality_weight, 0.0),
                identity={},
                around=surroundings(folder, settings),
                resume=None,
            )

        return made

    return {
        name: Contender(name, build(checkpointed), own_bytes=own)
        for name, checkpointed in (("ours", True), ("ours_whole", False))
    }


def surroundings(folder: Path, settings: TrainSettings) -> Surroundings:
    """Real checkpoints and series in a folder of their own."""
    emit = RecordingEmitter()
    trackers = Trackers(folder, (), "benchmark", emit)
    trackers.start("benchmark", {}, 0, -1)
    return Surroundings(
        emit=emit,
        pause=OpenGate(),
        store=CheckpointStore(folder / "checkpoints", settings.keep_checkpoints),
        series=SeriesFile(folder / "series.jsonl"),
        evaluations=SeriesFile(folder / "evaluations.jsonl"),
        history=HistoryFile(folder / "history.json"),
        trackers=trackers,
        run_root=folder,
    )


def summary(contenders: dict[str, Contender]) -> dict[str, Any]:
    """Medians, memory, and how many times the best stock contender under each cap ours is."""
    rates = {n: statistics.median(c.tokens_per_s) for n, c in contenders.items() if c.tokens_per_s}
    found: dict[str, Any] = {
        "tokens_per_s": rates,
        "runs": {name: contenders[name].tokens_per_s for name in rates},
        "peak_bytes": {name: contenders[name].peak_bytes for name in rates},
    }
    for cap, own in (("small", "ours"), ("large", "ours_whole")):
        fitting = {
            name: rate
            for name, rate in rates.items()
            if name.startswith(("stock", "trl")) and contenders[name].peak_bytes <= CAPS[cap]
        }
        int8 = [rate for name, rate in fitting.items() if "int8" in name]
        if own in rates and fitting and int8:
            found[cap] = {
                "cap_bytes": CAPS[cap],
                "within_cap": contenders[own].peak_bytes <= CAPS[cap],
                "over_best_stock_int8": rates[own] / max(int8),
                "over_best_stock": rates[own] / max(fitting.values()),
                "best_stock": max(fitting, key=fitting.__getitem__),
            }
    if {"ours_whole", "stock_bf16_whole"} <= rates.keys():
        found["large_over_stock_bf16_uncapped"] = rates["ours_whole"] / rates["stock_bf16_whole"]
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--storages", default="int8,nf4,bf16")
    parser.add_argument("--trl", default="", help="storages that TRL trains on as well")
    parser.add_argument("--only", help="names of contenders, with commas between; default: all")
    options = parser.parse_args()
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    data = ids(64, options.length, shape(options.tiny)["vocab_size"] - 64)
    contenders = ours(options, data)
    for storage in filter(None, options.storages.split(",")):
        contenders |= stock(storage, options, data)
    for storage in filter(None, options.trl.split(",")):
        contenders |= trl(storage, options, data)
    if options.only:
        contenders = {name: contenders[name] for name in options.only.split(",")}
    tokens = options.rows * options.length
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if GPU else "cpu",
        "torch": torch.__version__,
        "tokens_per_step": tokens,
        "steps": options.steps,
    }
    for number in range(options.rounds):
        for contender in contenders.values():
            contender.round(options.steps, tokens)
            rate = contender.tokens_per_s[-1]
            print(f"round {number} {contender.name} {rate:.0f} tokens/s", flush=True)
            options.out.write_text(json.dumps(result | summary(contenders), indent=1))
    print(json.dumps(result | summary(contenders), indent=1))


if __name__ == "__main__":
    main()

"""Tokens a second of whole trainings through Trainer on a GPU: ours, the stock stacks, the peers.

    python benchmarks/train_throughput.py OUT.json [--rounds 3] [--rows 4] [--length 2048]
    python benchmarks/train_throughput.py OUT.json --storages nf4 --trl nf4 --unsloth PACKAGES
    python benchmarks/train_throughput.py OUT.json --tiny     # two small layers, also on a CPU
    python benchmarks/train_throughput.py OUT.json --layers 2 --rounds 1     # all of it, quickly

The shape is Phi-3.5-mini's with random weights, LoRA r 64 on all linears. Every contender trains on
rows that are full, so all tokens count and none is padding, which flatters the stock stacks: they
are used to padded rows. Ours has gates, its own trainer, checkpoint and series; the stock ones
(`throughput_stock.py`) have transformers' Trainer or TRL's, PEFT and bitsandbytes, and share one
process with ours; unsloth (`throughput_unsloth.py`), whose packages lie in the folder PACKAGES, has
processes of its own. All take turns; a round's figure is the mean of its steps after the first.
Each round is written when it is done.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gated_step
import torch
from throughput_round import GPU
from throughput_stock import DEVICE, Contender, InProcess, new_base, shape, stock, trl
from throughput_unsloth import InChild, PeerFailed, unsloth
from torch import Tensor
from transformers import Trainer

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

CAPS = {"small": 10.5e9, "large": 37e9}


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
    base = new_base(SO8TPhi3ForCausalLM, SO8TPhi3Config(**shape(options)))
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
        name: InProcess(name, trainer=build(checkpointed), own_bytes=own)
        for name, checkpointed in (("ours", True), ("ours_whole", False))
    }


def ids(count: int, length: int, vocabulary: int) -> Tensor:
    """Rows of token ids as frequent as in a language (Zipf), always the same."""
    generator = torch.Generator().manual_seed(1)
    weights = 1.0 / torch.arange(1, vocabulary - 1, dtype=torch.float64)
    drawn = torch.multinomial(weights, count * length, replacement=True, generator=generator)
    return 1 + drawn.view(count, length)


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
        fitting = {n: r for n, r in rates.items() if contenders[n].peak_bytes <= CAPS[cap]}
        stocks = {n: r for n, r in fitting.items() if n.startswith(("stock", "trl"))}
        rivals = {
            "stock_int8": {n: r for n, r in stocks.items() if "int8" in n},
            "stock": stocks,
            "unsloth": {n: r for n, r in fitting.items() if n.startswith("unsloth")},
        }
        if own in rates:
            found[cap] = {
                "cap_bytes": CAPS[cap],
                "within_cap": contenders[own].peak_bytes <= CAPS[cap],
            } | {f"over_best_{kind}": best(rates[own], those) for kind, those in rivals.items()}
    if {"ours_whole", "stock_bf16_whole"} <= rates.keys():
        found["large_over_stock_bf16_uncapped"] = rates["ours_whole"] / rates["stock_bf16_whole"]
    return found


def best(rate: float, rivals: dict[str, float]) -> dict[str, Any] | None:
    """The best of some contenders and how many times as fast a rate is; None without any."""
    if not rivals:
        return None
    name = max(rivals, key=rivals.__getitem__)
    return {"name": name, "times": rate / rivals[name]}


def rounds(
    contenders: dict[str, Contender], options: argparse.Namespace, result: dict[str, Any]
) -> None:
    """Let all take turns; print and write each round; one that fails is left out from then on."""
    tokens = options.rows * options.length
    for number in range(options.rounds):
        for name, contender in contenders.items():
            if name in result["left_out"]:
                continue
            try:
                contender.round(options.steps, tokens)
            except (PeerFailed, torch.OutOfMemoryError) as failure:
                leave_out(name, failure, result)
                continue
            rate = contender.tokens_per_s[-1]
            print(f"round {number} {name} {rate:.0f} tokens/s", flush=True)
            options.out.write_text(json.dumps(result | summary(contenders), indent=1))


def leave_out(name: str, failure: Exception, result: dict[str, Any]) -> None:
    """Go on without a contender, and say why in the result."""
    print(f"{name} is left out: {failure}", flush=True)
    result["left_out"][name] = str(failure)


def main() -> None:
    """Measure, print, write."""
    options = arguments()
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    data = ids(64, options.length, shape(options)["vocab_size"] - 64)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if GPU else "cpu",
        "torch": torch.__version__,
        "layers": shape(options)["num_hidden_layers"],
        "tokens_per_step": options.rows * options.length,
        "steps": options.steps,
        "left_out": {},
    }
    with ExitStack() as stack:
        children: dict[str, InChild] = {}
        if options.unsloth:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            children = unsloth(options, data, folder)
        for child in children.values():
            stack.callback(child.end)
        contenders: dict[str, Contender] = ours(options, data)
        for storage in filter(None, options.storages.split(",")):
            contenders |= stock(storage, options, data)
        for storage in filter(None, options.trl.split(",")):
            contenders |= trl(storage, options, data)
        contenders |= children
        if options.only:
            contenders = {name: contenders[name] for name in options.only.split(",")}
        for name, child in children.items():
            if name not in contenders:
                child.end()
                continue
            try:
                child.wait_until_ready()
            except PeerFailed as failure:
                leave_out(name, failure, result)
        result["peers"] = {name: child.about for name, child in children.items()}
        rounds(contenders, options, result)
    text = json.dumps(result | summary(contenders), indent=1)
    options.out.write_text(text)
    print(text)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--storages", default="int8,nf4,bf16")
    parser.add_argument("--trl", default="", help="storages that TRL trains on as well")
    parser.add_argument("--unsloth", type=Path, help="folder with unsloth's packages")
    parser.add_argument(
        "--peer-timeout-s", type=float, default=300, help="for an answer of unsloth"
    )
    parser.add_argument("--only", help="names of contenders, with commas between; default: all")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""A training step of the Phi-3.5-mini shape on a GPU, with and without gates, and its peers.

    python benchmarks/gated_step.py OUT.json [--rounds 5] [--layers 32]
    python benchmarks/gated_step.py OUT.json --cases ours,ours_gates --loss-steps 0
    python benchmarks/gated_step.py OUT.json --generate [--device cpu --layers 4]

Random weights, made on the GPU; LoRA r 64 on all linears, re-entrant checkpointing, bf16 autocast,
AdamW with 8-bit states, 4 x 2048 tokens a step. All settings run in one process and take turns.
`paged` states are left out: they measure the bus. The second form measures what gates cost alone,
the third generation. Every part is written when it is done. One module, since all of it measures
the same two models.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import int8_vectorwise_quant
from bitsandbytes.nn import Int8Params, Linear8bitLt
from peft import PeftModel
from torch import Tensor, nn
from transformers import Phi3Config, Phi3ForCausalLM
from transformers.models.phi3 import modeling_phi3

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model import modeling_phi3_so8t as modelling
from so8t_core.model import ops
from so8t_core.model.int8 import multiply_as_stock, multiply_dequantized
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TPhi3ForCausalLM
from so8t_core.model.so8 import rotate_rows, rotation
from so8t_core.phases.standalone import RecordingEmitter
from so8t_core.training.adapter import attach_adapter, trained_weights
from so8t_core.training.base_model import _checkpoint_activations
from so8t_core.training.fused import fuse, unfuse
from so8t_core.training.fused_lora import LoraBank
from so8t_core.training.gate_terms import active_gates, trained_gates
from so8t_core.training.liger import apply_liger
from so8t_core.training.optimizer import build_optimizer
from so8t_core.training.rotation_bank import RotationBank

DEVICE = torch.device("cuda")
SETTINGS = TrainSettings(optimizer="adamw_8bit", lora_dropout=0.05)
ROWS, LENGTH = 4, 2048
STOCK_POSITIONS = modeling_phi3.apply_rotary_pos_emb


def shape(layers: int) -> dict[str, Any]:
    """Phi-3.5-mini-instruct's configuration."""
    return {
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 48,
            "long_factor": [4.0] * 48,
        },
        "pad_token_id": 32000,
        "use_cache": False,
        "attn_implementation": "sdpa",
    }


@contextmanager
def bf16_on_gpu() -> Iterator[None]:
    """New weights are bf16 and on the GPU, from one seed."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(DEVICE):
            yield
    finally:
        torch.set_default_dtype(before)


def store_int8(base: nn.Module) -> None:
    """Store the layers' linears as `load_in_8bit` does, threshold 6."""
    for parent in list(base.model.layers.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Linear:
                continue
            codes, scales, _ = int8_vectorwise_quant(child.weight.data.half())
            with torch.device("meta"):
                stored = Linear8bitLt(
                    child.in_features,
                    child.out_features,
                    False,
                    has_fp16_weights=False,
                    threshold=6,
                )
            stored.weight = Int8Params(
                codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales
            )
            setattr(parent, name, stored)
    base.is_loaded_in_8bit = True


@dataclass
class Subject:
    """A model with adapter, gates and optimiser, whose settings can be switched."""

    model: PeftModel
    optimizer: torch.optim.Optimizer
    bank: RotationBank
    start: dict[str, Tensor]
    gates: dict[Any, nn.Module] = field(default_factory=dict)

    @property
    def base(self) -> Any:
        """The model inside the adapter."""
        return self.model.base_model.model

    def switch(
        self, *, int8: str | None, liger: bool, gate: str | None, fused: bool = False
    ) -> None:
        """`int8`: dequantized, llm_int8 or None for bf16; `gate`: kernel, einsum or None."""
        unfuse(self.model)
        if int8 is not None:
            (multiply_dequantized if int8 == "dequantized" else multiply_as_stock)(self.base)
        for module in self.base.modules():
            module.__dict__.pop("forward", None)
        modeling_phi3.apply_rotary_pos_emb = STOCK_POSITIONS
        if liger:
            apply_liger(self.base)
        for attention, module in self.gates.items():
            attention.rotation_gate = None if gate is None else module
        modelling.rotate = einsum if gate == "einsum" else ops.rotate
        self.gated = gate is not None
        if fused:
            fuse(self.model)
        self.low = LoraBank(self.model, torch.bfloat16)

    def restart(self) -> None:
        """Back to the adapter's start, with a fresh optimiser."""
        with torch.no_grad():
            for name, weight in trained_weights(self.model).items():
                weight.copy_(self.start[name])
        self.optimizer = new_optimizer(self.model)

    def step(self, batch: Tensor, seed: int) -> Tensor:
        """One optimiser step; returns the loss, on the GPU."""
        torch.manual_seed(seed)
        if self.gated:
            self.bank.open()
        self.low.open()
        with torch.autocast("cuda", torch.bfloat16):
            loss: Tensor = self.model(input_ids=batch, labels=batch).loss
        loss.backward()
        self.low.close()
        if self.gated:
            self.bank.send_back()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


def einsum(hidden: Tensor, matrices: Tensor) -> Tensor:
    """The plain gate."""
    split = hidden.unflatten(-1, (-1, 8))
    return torch.einsum("...bj,bij->...bi", split, matrices.to(hidden.dtype)).flatten(-2)


def new_optimizer(model: PeftModel) -> torch.optim.Optimizer:
    """As the trainer builds it."""
    return build_optimizer(model, trained_gates(model), SETTINGS, DEVICE, RecordingEmitter())


def make(storage: str, layers: int, start: dict[str, Tensor] | None) -> Subject:
    """A subject; `start`: the adapter's weights of another one, for an equal start."""
    with bf16_on_gpu():
        base = SO8TPhi3ForCausalLM(SO8TPhi3Config(**shape(layers)))
    if storage == "int8":
        store_int8(base)
    _checkpoint_activations(base)
    model = attach_adapter(base, SETTINGS, 0).train()
    weights = trained_weights(model)
    if start is not None:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(start[name])
    kept = start or {name: weight.clone() for name, weight in weights.items()}
    subject = Subject(model, new_optimizer(model), RotationBank(active_gates(model)), kept)
    subject.gates = {layer.self_attn: layer.self_attn.rotation_gate for layer in base.model.layers}
    return subject


def batches(count: int) -> list[Tensor]:
    """Token ids as frequent as in a language (Zipf), always the same."""
    generator = torch.Generator().manual_seed(1)
    weights = 1.0 / torch.arange(1, 32001, dtype=torch.float64)
    return [
        torch.multinomial(weights, ROWS * LENGTH, replacement=True, generator=generator)
        .view(ROWS, LENGTH)
        .to(DEVICE)
        for _ in range(count)
    ]


CASES: dict[str, dict[str, Any]] = {
    "llm_int8": {"int8": "llm_int8", "liger": False, "gate": None},
    "w8a16": {"int8": "dequantized", "liger": False, "gate": None},
    "w8a16_liger": {"int8": "dequantized", "liger": True, "gate": None},
    "w8a16_liger_gates": {"int8": "dequantized", "liger": True, "gate": "kernel"},
    "w8a16_liger_einsum": {"int8": "dequantized", "liger": True, "gate": "einsum"},
    "ours": {"int8": "dequantized", "liger": True, "gate": None, "fused": True},
    "ours_gates": {"int8": "dequantized", "liger": True, "gate": "kernel", "fused": True},
    "bf16": {"int8": None, "liger": False, "gate": None},
    "bf16_liger": {"int8": None, "liger": True, "gate": None},
    "bf16_ours": {"int8": None, "liger": True, "gate": None, "fused": True},
}


LOSSES = ("ours", "bf16_ours", "bf16", "llm_int8", "ours_gates")
"""Whose losses are compared; the joined operations draw dropout masks of their own."""


def peak_bytes(subject: Subject, data: list[Tensor], resident: int) -> int:
    """Most memory in a step after the first, less what is not the subject's."""
    subject.step(data[0], 0)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    subject.step(data[1], 1)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - resident


def losses(subject: Subject, data: list[Tensor]) -> list[float]:
    """The losses of one step per batch, from the start."""
    subject.restart()
    return torch.stack([subject.step(batch, seed) for seed, batch in enumerate(data)]).tolist()


def step_ms(subject: Subject, data: list[Tensor], steps: int) -> float:
    """Mean time of a step after a first one; as in training, old objects are not collected."""
    gc.collect()
    gc.freeze()
    subject.step(data[0], 0)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for index in range(steps):
        subject.step(data[index % len(data)], index)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) * 1e3 / steps


def settle() -> None:
    """Wait for the device."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def generation(layers: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of base, folded and gated model, taking turns."""
    with bf16_on_gpu():
        base = Phi3ForCausalLM(Phi3Config(**shape(layers))).eval()
        gated = SO8TPhi3ForCausalLM(SO8TPhi3Config(**shape(layers))).eval()
    with torch.no_grad():
        for layer in gated.model.layers:
            layer.self_attn.rotation_gate.theta.normal_(std=0.1)
    folded = Phi3ForCausalLM._from_config(base.config).to(DEVICE, torch.bfloat16).eval()
    folded.load_state_dict(base.state_dict())
    with torch.no_grad():
        for layer, source in zip(folded.model.layers, gated.model.layers, strict=True):
            theta = source.self_attn.rotation_gate.theta
            weight = layer.self_attn.o_proj.weight
            weight.copy_(rotate_rows(weight, rotation(theta, "exp")))
    prompt = torch.randint(5, 30000, (1, 64), device=DEVICE)
    rates: dict[str, list[float]] = {"base": [], "folded": [], "gated_unfolded": []}
    for _ in range(rounds + 1):
        for name, model in zip(rates, (base, folded, gated), strict=True):
            settle()
            began = time.perf_counter()
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                min_new_tokens=48,
                max_new_tokens=48,
                use_cache=True,
            )
            settle()
            rates[name].append(48 / (time.perf_counter() - began))
    return {
        name: {"runs": runs[1:], "median": statistics.median(runs[1:])}
        for name, runs in rates.items()
    }


def rounds_of(
    subjects: dict[str, Subject],
    cases: dict[str, dict[str, Any]],
    data: list[Tensor],
    options: argparse.Namespace,
    save: Callable[[str, Any], None],
) -> dict[str, list[float]]:
    """Every case once a round."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(options.rounds):
        for name, case in cases.items():
            subject = subjects["bf16" if case["int8"] is None else "int8"]
            subject.switch(**case)
            compared = name in ("ours", "ours_gates")
            steps = 2 * options.steps if compared else options.steps
            times[name].append(step_ms(subject, data, steps))
        save("step_ms", times)
        shown = {name: round(runs[-1], 1) for name, runs in times.items()}
        print(f"round {number}", shown, flush=True)
    return times


def bars(result: dict[str, Any]) -> dict[str, Any]:
    """What gates cost (the median of the rounds' own ratios), and int8 storage beside bf16."""
    times, final = result["step_ms"], {k: v[-1] for k, v in result["losses"].items()}
    found: dict[str, Any] = {}
    if {"ours", "ours_gates"} <= times.keys():
        ratios = [a / b for a, b in zip(times["ours_gates"], times["ours"], strict=True)]
        found["gate_cost_fractions"] = [ratio - 1.0 for ratio in ratios]
        found["gate_cost_fraction"] = statistics.median(ratios) - 1.0
        found["int8_peak_at_most_8_5_gb"] = result["peak_bytes"]["ours_gates"] <= 8.5e9
    if {"ours", "bf16_ours"} <= times.keys():
        ratios = [a / b for a, b in zip(times["bf16_ours"], times["ours"], strict=True)]
        found["int8_over_bf16_speed"] = statistics.median(ratios)
    for name, base in (("ours", "bf16_ours"), ("llm_int8", "bf16")):  # of equal dropout masks
        if {name, base} <= final.keys():
            found[f"loss_distance_{name}"] = abs(final[name] - final[base])
    return found


def chosen_cases(names: str) -> dict[str, dict[str, Any]]:
    """The cases of a list of names; all of them for `all`."""
    return CASES if names == "all" else {name: CASES[name] for name in names.split(",")}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--loss-steps", type=int, default=20)
    parser.add_argument("--cases", default="all")
    parser.add_argument("--generate", action="store_true", help="measure generation alone")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="of generation")
    options = parser.parse_args()
    if options.generate:
        global DEVICE
        DEVICE = torch.device(options.device)
        name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"
        found = {"device": name, "torch": torch.__version__, "layers": options.layers}
        found["generation"] = generation(options.layers, options.rounds)
        options.out.write_text(json.dumps(found, indent=1))
        print(json.dumps(found, indent=1))
        return
    cases = chosen_cases(options.cases)
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    data = batches(max(options.loss_steps, 2))
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "layers": options.layers,
        "tokens_per_step": ROWS * LENGTH,
        "peak_bytes": {},
        "losses": {},
    }

    def save(part: str, value: Any) -> None:
        result[part] = value
        options.out.write_text(json.dumps(result, indent=1))

    subjects = prepared(cases, options, data, result)
    rounds_of(subjects, timed(cases), data, options, save)
    tokens = ROWS * LENGTH * 1e3
    save(
        "tokens_per_s_median",
        {name: tokens / statistics.median(runs) for name, runs in result["step_ms"].items()},
    )
    save("bars", bars(result))
    print(json.dumps(result["bars"], indent=1), flush=True)
    for name in LOSSES:
        if name in cases and options.loss_steps:
            subject = subjects["bf16" if cases[name]["int8"] is None else "int8"]
            subject.switch(**cases[name])
            result["losses"][name] = losses(subject, data)
            save("bars", bars(result))
            print(name, result["losses"][name][-1], flush=True)
    save("fallbacks", ops.fallbacks())
    print(json.dumps({k: v for k, v in result.items() if k != "losses"}, indent=1), flush=True)


def timed(cases: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The cases that take turns in the rounds: all, or all but those wanted for their loss."""
    return {name: case for name, case in cases.items() if name not in ("llm_int8", "bf16")} or cases


def prepared(
    cases: dict[str, dict[str, Any]],
    options: argparse.Namespace,
    data: list[Tensor],
    result: dict[str, Any],
) -> dict[str, Subject]:
    """A subject for each kind of storage, from one start; notes the memory of every case."""
    subjects: dict[str, Subject] = {}
    held = 0
    start: dict[str, Tensor] | None = None
    for storage in ("int8", "bf16"):
        own = {n: c for n, c in cases.items() if (c["int8"] is None) == (storage == "bf16")}
        if not own:
            continue
        subject = subjects[storage] = make(storage, options.layers, start)
        start = subject.start
        gc.collect()
        torch.cuda.empty_cache()
        kept = sum(value.nbytes for value in start.values())
        for name, case in own.items():
            subject.switch(**case)
            result["peak_bytes"][name] = peak_bytes(subject, data, held + kept)
            print(name, result["peak_bytes"][name], flush=True)
        held = torch.cuda.memory_allocated() - kept
    return subjects


if __name__ == "__main__":
    main()

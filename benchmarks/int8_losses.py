"""Whose loss is nearer to an unquantised base's: that of dequantised int8 weights or of LLM.int8.

    python benchmarks/int8_losses.py BUNDLE OUT.json [--seeds 5] [--steps 20] [--device cpu]

BUNDLE is what `benchmarks/ablation.py prepare` wrote: a trained model (the starter) and tokens of
Japanese pages. For each seed, which draws LoRA's start and the rows, the same training is made on
three bases: stored as bf16, as int8 with dequantised products, as int8 with bitsandbytes' LLM.int8.
Arithmetic is bfloat16, dropout is off. Compared are the distances of both from bf16's losses: after
the last step, in the mean over all steps, before the first step, and on held-out rows afterwards.

On a CPU bitsandbytes trains LLM.int8 by dequantised products; its own operation, which it uses on a
GPU and in evaluation, is put back for this, its integer product computed in float32: torch's own
for CPUs takes minutes a step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from benchmarks.ablation_corpus import Corpus
from benchmarks.ablation_training import load_base as load_bundled
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.adapter import attach_adapter
from so8t_core.training.base_model import load_base
from so8t_core.training.fused import fuse

ARMS: dict[str, dict[str, Any]] = {
    "bf16": {"base_storage": "bf16"},
    "dequantized": {"base_storage": "int8", "int8_matmul": "dequantized"},
    "llm_int8": {"base_storage": "int8", "int8_matmul": "llm_int8"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "ours": {"base_storage": "int8", "int8_matmul": "dequantized", "fused": "on"},
    "float32": {"base_storage": "float32"},
}
"""The product's own way, and arithmetic that rounds nowhere to 16 bits, which
`benchmarks/loss_curves.py` asks for."""


@contextlib.contextmanager
def own_product(wanted: bool) -> Iterator[None]:
    """Have bitsandbytes train on a CPU with the product that it otherwise keeps for GPUs."""
    from bitsandbytes.autograd import _functions

    if not wanted:
        yield
        return
    with (
        patch.object(_functions, "MatMul8bitFp", _functions.MatMul8bitLt),
        patch.object(torch, "_int_mm", product_in_float32),
    ):
        yield


def product_in_float32(a: Tensor, b: Tensor) -> Tensor:
    """The product of int8 tensors as int32; exact, as sums stay below 2^24 (asserted)."""
    product = a.float() @ b.float()
    assert product.abs().max() < 2**24
    return product.to(torch.int32)


def rows_of(tokens: np.ndarray[Any, Any], count: int, length: int, seed: int) -> Tensor:
    """(count, length) of consecutive tokens, their starts drawn by the seed."""
    starts = np.random.default_rng(seed).integers(0, len(tokens) - length, count)
    return torch.from_numpy(np.stack([tokens[at : at + length] for at in starts]).astype(np.int64))


def train(
    folder: Path,
    corpus: Corpus,
    arm: str,
    seed: int,
    options: argparse.Namespace,
    rows_seed: int | None = None,
) -> dict[str, Any]:
    """The losses of one training, and its held-out loss afterwards; in nats a token.

    `seed`: of LoRA's start, and of the rows unless they have a `rows_seed` of their own.
    """
    device = torch.device(options.device, 0 if options.device == "cuda" else None)
    settings = TrainSettings.model_validate(
        {"lora_dropout": 0.0, "train_gates": False, "gradient_checkpointing": False}
        | {"fused": "off", "liger": "off", **(ARMS | OTHERS)[arm]}
    )
    rounds = settings.base_storage != "float32"
    model: Any = load_base(folder, settings, device, torch.bfloat16)
    model = attach_adapter(model, settings, seed).to(device)
    if settings.fused == "on":
        fuse(model)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=0.0)
    drawn_by = seed if rows_seed is None else rows_seed
    rows = rows_of(corpus.train, options.rows * options.steps, options.length, drawn_by)
    held_out = rows_of(corpus.judged["validation"], 2 * options.rows, options.length, 0)

    def loss_of(batch: Tensor) -> Tensor:
        given = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=rounds):
            loss: Tensor = model(input_ids=given, labels=given, use_cache=False).loss
        return loss.float()

    losses = []
    for step in range(options.steps):
        loss = loss_of(rows[step * options.rows : (step + 1) * options.rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    with torch.no_grad():
        after = statistics.fmean(loss_of(part).item() for part in held_out.split(options.rows))
    return {"losses": losses, "held_out": after}


def distances(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """How far one training's losses are from another's."""
    gaps = [abs(one - other) for one, other in zip(found["losses"], wanted["losses"], strict=True)]
    return {
        "before_training": gaps[0],
        "last_step": gaps[-1],
        "mean_of_steps": statistics.fmean(gaps),
        "held_out": abs(found["held_out"] - wanted["held_out"]),
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the seeds, and in how many of them dequantised int8 was nearer."""
    result: dict[str, Any] = {}
    for kind in runs[0]["distances"]["dequantized"]:
        ours, stock = (
            [run["distances"][arm][kind] for run in runs] for arm in ("dequantized", "llm_int8")
        )
        nearer = sum(one < other for one, other in zip(ours, stock, strict=True))
        result[kind] = {
            "dequantized": statistics.median(ours),
            "llm_int8": statistics.median(stock),
            "nearer_in": f"{nearer} of {len(runs)}",
        }
    return result


def main() -> None:
    """Train, compare, write after each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = next(options.bundle.rglob("train.npy")).parent
    corpus = Corpus.load(data)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        load_bundled(options.bundle, None, torch.bfloat16).save_pretrained(folder)
        for seed in range(options.seeds):
            trained = {}
            for arm in ARMS:
                with own_product(options.device == "cpu" and arm == "llm_int8"):
                    trained[arm] = train(folder, corpus, arm, seed, options)
                print(seed, arm, trained[arm]["losses"][-1], trained[arm]["held_out"], flush=True)
            far = {arm: distances(trained[arm], trained["bf16"]) for arm in list(ARMS)[1:]}
            runs.append({"seed": seed, "trained": trained, "distances": far})
            asked = {name: str(value) for name, value in vars(options).items()}
            result = {"settings": asked, "summary": summary(runs), "runs": runs}
            options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    main()

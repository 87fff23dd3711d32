"""The estimate of GPU memory beside torch's measured peak, on the Phi-3.5-mini shape.

    python benchmarks/memory_estimate.py OUT.json [--layers 32]

Random weights, LoRA r 64, dropout 0.05, one step of two micro-batches, so that gradients are there
when the second one begins. Each row: a way to store the base, joined operations or PEFT's with
Liger, a share of the layers that recompute, and rows of 2,048 tokens. Needs about 60 GB; a row that
runs out of memory is said to have done so, and the next one follows.
"""

# mypy: ignore-errors
from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path
from typing import Any

import gated_step
import torch

from so8t_core.training.base_model import _checkpoint_activations
from so8t_core.training.footprint import Load, Means, ModelShape, estimate, recomputed_layers

LENGTH = 2048
CASES: tuple[tuple[bool, float, int], ...] = (
    (True, 1.0, 1),
    (True, 1.0, 4),
    (True, 1.0, 8),
    (True, 0.75, 4),
    (True, 0.5, 4),
    (True, 0.25, 4),
    (True, 0.0, 1),
    (True, 0.0, 2),
    (True, 0.0, 4),
    (False, 1.0, 4),
    (False, 0.5, 4),
    (False, 0.0, 2),
)
"""Joined operations or not, share recomputed, rows."""


def measured_peak(subject: Any, rows: int, resident: int) -> int:
    """Peak of a step of two micro-batches after a first one, less what is not training's."""
    batch = torch.randint(5, 32000, (rows, LENGTH), device=gated_step.DEVICE)
    for number in range(2):
        if number:
            torch.cuda.reset_peak_memory_stats()
        subject.bank.open()
        subject.low.open()
        for _ in range(2):
            with torch.autocast("cuda", torch.bfloat16):
                loss = subject.model(input_ids=batch, labels=batch).loss
            loss.backward()
            del loss
        subject.low.close()
        subject.bank.send_back()
        subject.optimizer.step()
        subject.optimizer.zero_grad()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - resident


def recompute(base: Any, share: float) -> None:
    """Have that share of the layers recompute, as training does."""
    _checkpoint_activations(base, share)


def compare(storage: str, layers: int) -> list[dict[str, Any]]:
    """All cases on a base stored in one way."""
    subject = gated_step.make(storage, layers, None)
    resident = sum(value.nbytes for value in subject.start.values())
    shape = ModelShape.of(gated_step.shape(layers), gates=True)
    settings = gated_step.SETTINGS.model_copy(update={"base_storage": storage})
    found = []
    for fused, share, rows in CASES:
        int8 = "dequantized" if storage == "int8" else None
        subject.switch(int8=int8, liger=True, gate="kernel", fused=fused)
        recompute(subject.base, share)
        load = Load(rows, LENGTH, recomputed_layers(share, layers))
        guess = estimate(shape, settings, Means(2, liger=True, fused=fused), load)
        row: dict[str, Any] = {
            "storage": storage,
            "fused": fused,
            "recomputed_share": share,
            "rows": rows,
            "estimate_bytes": guess.peak_bytes,
            "at": guess.at,
        }
        try:
            row["measured_bytes"] = measured_peak(subject, rows, resident)
            row["error"] = guess.peak_bytes / row["measured_bytes"] - 1.0
        except torch.OutOfMemoryError:
            row["measured_bytes"] = row["error"] = None
            subject.model.zero_grad(set_to_none=True)
        gc.collect()
        torch.cuda.empty_cache()
        print(json.dumps(row), flush=True)
        found.append(row)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=32)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for storage in ("int8", "bf16"):
        rows += compare(storage, options.layers)
        gc.collect()
        torch.cuda.empty_cache()
    errors = [abs(row["error"]) for row in rows if row["error"] is not None]
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "layers": options.layers,
        "rows": rows,
        "largest_error": max(errors),
        "within_8_percent": max(errors) <= 0.08,
    }
    options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}, indent=1))


if __name__ == "__main__":
    main()

"""Training on one and on several GPUs, as a user starts it: tokens per second and losses.

    python benchmarks/gpus.py OUT.json --model-path GATED [--gpus 1 2] [--steps 30] [--rounds 3]
    python benchmarks/gpus.py OUT.json --model-path GATED --storage bf16 --parallel fsdp
    python benchmarks/gpus.py OUT.json --model-path GATED --device cpu    a trial without GPUs

Each round starts `so8t train` for every number of GPUs in turn, on the same packed rows of random
words. Reported are the medians of the steps after the first third, over all rounds, each number's
speed over that of the first, and the largest relative difference of a loss from the first's.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from so8t_core.contract.runs import find_run
from so8t_core.contract.watch import Watch


def write_data(path: Path, rows: int, words: int) -> None:
    """Plain texts of seeded random words."""
    chance = random.Random(11)
    with path.open("w") as file:
        for _ in range(rows):
            text = " ".join(f"word{chance.randrange(5000)}" for _ in range(words))
            file.write(json.dumps({"text": text}) + "\n")


def settings(options: argparse.Namespace, data: Path, gpus: int) -> dict[str, Any]:
    """A training of full rows without evaluation, checkpoint or sample in between."""
    return {
        "name": f"gpus{gpus}",
        "engine": {"min_free_disk_gb": 1, "min_free_memory_gb": 0.5},
        "train": {
            "model_path": str(options.model_path.absolute()),
            "dataset": str(data),
            "validation_fraction": 0,
            "eval_max_samples": 0,
            "max_length_tokens": options.length,
            "micro_batch_size": options.rows,
            "accumulation_steps": options.accumulation,
            "max_steps": options.steps,
            "save_every_steps": 10**6,
            "save_every_s": 1e6,
            "lora_dropout": 0.0,
            "optimizer": "adamw_8bit",
            "gradient_checkpointing": options.checkpointing == "on",
            "sample_prompts": [],
            "chat_format": "plain",
            "device": options.device,
            "gpus": gpus,
            "base_storage": options.storage,
            "parallel": options.parallel,
        },
    }


def train(options: argparse.Namespace, folder: Path, data: Path, gpus: int) -> dict[str, Any]:
    """One training; its steps' speeds and losses, and the peak memory of its first rank."""
    config = folder / f"gpus{gpus}.yaml"
    config.write_text(json.dumps(settings(options, data, gpus)))
    line = [sys.executable, "-m", "so8t_core.cli", "--runs-dir", str(folder / "runs")]
    subprocess.run([*line, "train", "-c", str(config), "--headless"], check=True)
    run = find_run(None, folder / "runs")
    watch = Watch(run)
    view = watch.catch_up().phases["train"]
    watch.close()
    lines = (run.phase("train") / "series.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    speeds = list(view.series["tokens_per_s"].values)
    return {
        "tokens_per_s": speeds[len(speeds) // 3 :],
        "losses": [step["loss"] for step in steps],
        "peak_bytes": view.figures["memory_peak_bytes"],
        "estimate_bytes": view.figures["memory_estimate_bytes"],
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model-path", type=Path, required=True)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--accumulation", type=int, default=4)
    parser.add_argument("--checkpointing", choices=("on", "off"), default="on")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--storage", choices=("int8", "nf4", "bf16", "float32"), default="int8")
    parser.add_argument("--parallel", choices=("ddp", "fsdp"), default="ddp")
    options = parser.parse_args()
    speeds: dict[int, list[float]] = {gpus: [] for gpus in options.gpus}
    last: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = folder / "data.jsonl"
        write_data(data, rows=400, words=options.length // 2)
        for _ in range(options.rounds):
            for gpus in options.gpus:
                last[gpus] = train(options, folder, data, gpus)
                speeds[gpus] += last[gpus]["tokens_per_s"]
    first = options.gpus[0]
    medians = {gpus: statistics.median(values) for gpus, values in speeds.items()}
    result = {
        "tokens_per_s_median": medians,
        "times_the_first": {gpus: value / medians[first] for gpus, value in medians.items()},
        "largest_loss_difference": {
            gpus: max(
                abs(one - other) / other
                for one, other in zip(last[gpus]["losses"], last[first]["losses"], strict=True)
            )
            for gpus in options.gpus
        },
        "peak_bytes": {gpus: last[gpus]["peak_bytes"] for gpus in options.gpus},
        "estimate_bytes": {gpus: last[gpus]["estimate_bytes"] for gpus in options.gpus},
        "settings": {k: str(v) for k, v in vars(options).items()},
    }
    options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

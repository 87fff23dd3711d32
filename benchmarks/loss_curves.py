"""Whether our training learns as stock bf16 does: losses of both over the same steps and rows.

    python benchmarks/loss_curves.py BUNDLE OUT.json [--seeds 3] [--steps 200] [--device cpu]
    python benchmarks/loss_curves.py BUNDLE OUT.json --device cpu --steps 10 --rows 2 --length 256

BUNDLE is what `benchmarks/ablation.py prepare` wrote: a trained model and Japanese pages. Stock is
a bf16 base under PEFT's LoRA and plain operations, ours an int8 base under the joined operations,
without gates, which a stock training has none of. All see the same rows; a seed draws LoRA's start
alone, so that the noise between seeds is as small as it gets. Reported: how far ours and stock are
apart at equal seeds, and stock and stock at unequal ones; and how far each is from the same
training in float32 throughout, where nothing is rounded to 16 bits. A curve's points are means of
ten steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import int8_losses
from benchmarks.ablation_corpus import Corpus
from benchmarks.ablation_training import load_base

STOCK, OURS, EXACT = "bf16", "ours", "float32"
TOGETHER = 10
"""Steps whose mean is a point of a curve."""


def curve(losses: Sequence[float]) -> list[float]:
    """The means of ten steps each; what is left over at the end is left out."""
    whole = len(losses) // TOGETHER * TOGETHER
    return [statistics.fmean(losses[at : at + TOGETHER]) for at in range(0, whole, TOGETHER)]


def apart(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How far two trainings are apart: their curves on average and at most, and held-out losses."""
    gaps = [abs(a - b) for a, b in zip(curve(one["losses"]), curve(other["losses"]), strict=True)]
    return {
        "curve_mean": statistics.fmean(gaps),
        "curve_most": max(gaps),
        "held_out": abs(one["held_out"] - other["held_out"]),
    }


def medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def compare(runs: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """All distances, medians over seeds or pairs of them, and whether ours is in the noise."""
    ours = medians([apart(run[OURS], run[STOCK]) for run in runs])
    noise = medians(
        [apart(one[STOCK], other[STOCK]) for one, other in itertools.combinations(runs, 2)]
    )
    return {
        "ours_from_stock": ours,
        "stock_from_stock_of_another_seed": noise,
        "ours_from_float32": medians([apart(run[OURS], run[EXACT]) for run in runs]),
        "stock_from_float32": medians([apart(run[STOCK], run[EXACT]) for run in runs]),
        "within_seed_noise": all(ours[name] <= noise[name] for name in ours),
    }


def main() -> None:
    """Train, compare, write after each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if options.seeds < 2 or options.steps < TOGETHER:
        parser.error(f"noise takes two seeds, and a curve {TOGETHER} steps")
    torch.set_num_threads(options.threads)
    corpus = Corpus.load(next(options.bundle.rglob("train.npy")).parent)
    runs: list[dict[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        load_base(options.bundle, None, torch.bfloat16).save_pretrained(folder)
        for seed in range(options.seeds):
            runs.append({})
            for arm in (STOCK, OURS, EXACT):
                runs[-1][arm] = int8_losses.train(folder, corpus, arm, seed, options, 0)
                print(seed, arm, runs[-1][arm]["held_out"], flush=True)
            result: dict[str, Any] = {
                "settings": {name: str(value) for name, value in vars(options).items()},
                "runs": runs,
            }
            if len(runs) > 1:
                result |= compare(runs)
            options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(compare(runs), indent=1))


if __name__ == "__main__":
    main()

"""Do gates help? LoRA, gates, both and PEFT's OFT on Japanese pages, on the starter model.

    python benchmarks/ablation.py prepare OUT [--japanese DIR] [--english DIR]
    python benchmarks/ablation.py run OUT RESULTS.jsonl [--budget-s 380] [--earlier FILE]
    python benchmarks/ablation.py table RESULTS.jsonl [--evidence docs/evidence.md]

`prepare` writes the model in two files below 50 MB and the texts as token arrays, so that they can
travel apart. `run` needs a GPU to be quick and no network: each rate is tuned on a validation part
with one seed, then judged with three others on held-out pages; each finished training is one line
of RESULTS, the most important first, and a cut by the budget leaves the rest out. `--earlier`: a
file of an earlier run, whose trainings are not made again. `table` makes the tables with intervals.
Dropout is off, rates follow a cosine with 10 % warm-up, AdamW has no weight decay, gradients are
clipped to norm 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.ablation_corpus import Corpus, prepare
from benchmarks.ablation_grid import Grid, Schedule
from benchmarks.ablation_tables import write_evidence
from benchmarks.ablation_training import (
    Cell,
    Judged,
    Scale,
    device_name,
    judge_base,
    judged_rows,
    load_base,
    run_group,
)


class Bench:
    """What a worker holds: base model, corpus, and what is judged."""

    here: Bench

    def __init__(self, model: Path, data: Path, scale: Scale, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.scale = scale
        self.corpus = Corpus.load(data)
        self.judged: Judged = judged_rows(self.corpus, scale)
        self.model: Any = load_base(
            None, model, torch.bfloat16 if device == "cuda" else torch.float32
        ).to(device)
        if device == "cuda":
            _use_liger(self.model)

    @classmethod
    def open(
        cls, turn: Any, model: Path, data: Path, scale: Scale, device: str, *rest: Any
    ) -> None:
        """Set up this process; `turn` counts them, so that they share all GPUs evenly."""
        if device == "cuda":
            with turn.get_lock():
                torch.cuda.set_device(turn.value % torch.cuda.device_count())
                turn.value += 1
        cls.here = cls(model, data, scale, device, *rest)


def _use_liger(model: Any) -> None:
    from so8t_core.contract.settings.train import TrainSettings
    from so8t_core.training.liger import apply_liger, liger_wanted

    if liger_wanted(TrainSettings(), torch.device("cuda")):
        apply_liger(model)


def train_cells(cells: list[Cell], deadline: float) -> list[dict[str, Any]]:
    """In a worker: train a group."""
    bench = Bench.here
    return run_group(bench.model, bench.corpus, bench.judged, cells, bench.scale, deadline)


def base_scores() -> dict[str, Any]:
    """In a worker: the base's line."""
    bench = Bench.here
    scores = judge_base(bench.model, bench.judged, bench.scale)
    return {
        "part": "a",
        "name": "base",
        "role": "base",
        "points": [{"step": 0, **scores}],
        "device": device_name(bench.model.device),
        "torch": torch.__version__,
        "rows_in_step": bench.scale.rows,
        "row_tokens": bench.scale.length,
        "steps": bench.scale.steps,
        "few_steps": bench.scale.few_steps,
        "judged_bytes": {name: size for name, (_, size) in bench.judged.items()},
        "corpus": bench.corpus.facts(),
    }


class InThisProcess(Executor):
    """An executor without workers, for machines that have memory for one model alone."""

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  as every executor does
            future.set_exception(error)
        return future


def _pool(workers: int, arguments: tuple[Any, ...]) -> Executor:
    if workers == 0:
        Bench.open(multiprocessing.Value("i", 0), *arguments)
        return InThisProcess()
    spawning = multiprocessing.get_context("spawn")
    turn = spawning.Value("i", 0)
    return ProcessPoolExecutor(workers, spawning, Bench.open, (turn, *arguments))


def run(options: argparse.Namespace) -> None:
    """Make the trainings."""
    deadline = time.time() + options.budget_s
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    scale = Scale(
        rows=options.rows,
        length=options.length,
        steps=options.steps,
        few_steps=options.few_steps,
        rows_in_flight=options.rows_in_flight,
    )
    earlier: list[dict[str, Any]] = []
    for file in options.earlier:
        earlier += [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    threads = max(1, (os.cpu_count() or 1) // max(1, options.workers))
    data = next(path.parent for path in sorted(options.bundle.rglob("bounds.npy")))
    with tempfile.TemporaryDirectory() as place:
        model = options.model
        if model is None:
            model = Path(place) / "model"
            dtype = torch.bfloat16 if device == "cuda" else torch.float32
            load_base(options.bundle, None, dtype).save_pretrained(model)
        print(f"model ready {options.budget_s - deadline + time.time():.1f} s in", flush=True)
        with _pool(options.workers, (model, data, scale, device, threads)) as pool:
            if not any(result["name"] == "base" for result in earlier):
                base = pool.submit(base_scores).result()
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(base) + "\n")
                print("base", base["points"][0], flush=True)
            kept = [result for result in earlier if result["name"] != "base"]
            schedule = Schedule(Grid(scale), options.results, kept, deadline)
            schedule.run(pool, max(1, options.workers), train_cells)
    print("cut by the budget" if schedule.cut else "everything is done", flush=True)


def main() -> None:
    """Prepare, run or make tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("out", type=Path)
    one.add_argument("--japanese", type=Path, help="folder of unpacked Japanese packages")
    one.add_argument("--english", type=Path, help="folder of unpacked English packages")
    two = commands.add_parser("run")
    two.add_argument("bundle", type=Path, help="what `prepare` wrote, in any folders below it")
    two.add_argument("results", type=Path)
    two.add_argument("--model", type=Path, help="a Phi-3 folder instead of the bundle's model")
    two.add_argument("--budget-s", type=float, default=380.0)
    two.add_argument("--earlier", type=Path, nargs="*", default=[])
    two.add_argument("--workers", type=int, default=3, help="processes over all GPUs; 0: this one")
    two.add_argument("--device", choices=("cuda", "cpu"))
    for name, default in (
        ("rows", Scale.rows),
        ("length", Scale.length),
        ("steps", Scale.steps),
        ("few-steps", Scale.few_steps),
        ("rows-in-flight", Scale.rows_in_flight),
    ):
        two.add_argument(f"--{name}", type=int, default=default)
    three = commands.add_parser("table")
    three.add_argument("results", type=Path, nargs="+")
    three.add_argument("--evidence", type=Path)
    options = parser.parse_args()
    if options.command == "prepare":
        print(json.dumps(prepare(options.out, options.japanese, options.english), indent=1))
    elif options.command == "run":
        options.results.parent.mkdir(parents=True, exist_ok=True)
        run(options)
    else:
        print(write_evidence(options.results, options.evidence))


if __name__ == "__main__":
    main()

"""The product at Phi-3.5-mini's size by its own commands: integrate, train, pause, fold, GGUF.

    python benchmarks/whole_product.py WORK OUT.json [--steps 30]
    python benchmarks/whole_product.py WORK OUT.json --no-export    # as far as the resumed training
    python benchmarks/whole_product.py WORK OUT.json --tiny    # four small layers, also on a CPU

A base of random weights is made in WORK. One training runs through; a second one is paused hard in
its middle and resumed, and must have the same losses to the bit. Measured: each command's time;
from the wish to pause until the GPU's memory is free; from the command to resume until the first
step, all loading included. Each part is written when it is done.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gated_step
import torch
import yaml
from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM

from so8t_core.contract.control import ControlStore
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import list_runs
from so8t_core.export.gguf import GgufSource, write_gguf
from so8t_core.model.tiny import build_tiny

GPU = torch.cuda.is_available()
FREE_BELOW_BYTES = 1.5e9
"""What the GPU may hold when training has let go of it: contexts, and no model."""
PATIENCE_S = 150.0
_WORDS = ("設定", "手順", "説明", "文書", "資料", "確認", "変更", "保存", "画面", "利用", "方法")


class Product:
    """The commands, run in a folder, and what they took."""

    def __init__(self, work: Path, out: Path) -> None:
        self.work = work
        self._out = out
        self.result: dict[str, Any] = {
            "device": torch.cuda.get_device_name() if GPU else "cpu",
            "torch": torch.__version__,
        }

    def save(self, **parts: Any) -> None:
        """Keep figures, and write all so far."""
        self.result |= parts
        self._out.write_text(json.dumps(self.result, indent=1))
        print(json.dumps(parts), flush=True)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command of the program, its output in `WORK/log.txt`."""
        with (self.work / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "so8t_core.cli", *arguments],
                stdout=log,
                stderr=log,
            )

    def do(self, name: str, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        """A command to its end, timed. Raises RuntimeError where it fails."""
        began = time.perf_counter()
        code = self.start(*arguments).wait()
        if code not in codes:
            tail = (self.work / "log.txt").read_text(encoding="utf-8")[-3000:]
            raise RuntimeError(f"{arguments} ended with {code}:\n{tail}")
        self.save(**{f"{name}_s": time.perf_counter() - began})


def make_base(folder: Path, tiny: bool) -> None:
    """Random weights and the tiny model's tokenizer."""
    build_tiny(folder, seed=7)
    if tiny:
        return
    (folder / "model.safetensors").unlink()  # the large one comes in shards beside it
    with gated_step.bf16_on_gpu():
        model = Phi3ForCausalLM(Phi3Config(**gated_step.shape(32)))
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=4, pad_token_id=0)
    model.save_pretrained(folder, max_shard_size="2GB")
    del model
    torch.cuda.empty_cache()


def make_settings(work: Path, options: argparse.Namespace) -> Path:
    """The training's data and settings file."""
    draw = random.Random(0)
    lines = [
        json.dumps({"text": "".join(draw.choices(_WORDS, k=600))}, ensure_ascii=False)
        for _ in range(200)
    ]
    (work / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings: dict[str, Any] = {
        "seed": 3,
        "train": {
            "model_path": str(work / "gated"),
            "dataset": str(work / "data.jsonl"),
            "max_steps": options.steps,
            "max_length_tokens": 128 if options.tiny else 2048,
            "micro_batch_size": 2 if options.tiny else 4,
            "accumulation_steps": 1,
            "optimizer": "adamw_8bit",
            "deterministic": True,
            "eval_max_samples": 0,
            "sample_prompts": [],
        },
    }
    path = work / "train.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def series(run: RunDir) -> list[dict[str, Any]]:
    """The finished steps of a run's training."""
    path = run.root / "train" / "series.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def wait_for(what: str, ready: Any) -> float:
    """Wait until `ready()`; returns the time it became so."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if ready():
            return time.time()
        time.sleep(0.02)
    raise TimeoutError(what)


def gpu_free() -> bool:
    """Whether nothing of a model is on the GPU."""
    if not GPU:
        return True
    free, whole = torch.cuda.mem_get_info()
    return whole - free < FREE_BELOW_BYTES


def event_time(run: RunDir, kind: str, after: float) -> float | None:
    """When the journal first noted an event of a kind since a moment."""
    with JournalReader(run.journal) as reader:
        events = reader.after(0, 10**9)
    return next((e.ts for e in events if e.kind == kind and e.ts >= after), None)


def wish(run: RunDir, desired: Any, mode: Any) -> float:
    """Write what is wanted of a run; returns when."""
    now = time.time()
    with ControlStore(run.control) as store:
        store.amend(lambda c: replace(c, desired=desired, mode=mode), who="benchmark")
    return now


def newest_run(runs: Path) -> RunDir:
    """The run that was made last."""
    return list_runs(runs)[0]


def paused_and_resumed(product: Product, config: Path, steps: int) -> RunDir:
    """A training with a hard pause in its middle; notes what pause and resume take."""
    runs = product.work / "paused"
    training = product.start("--runs-dir", str(runs), "train", "-c", str(config), "--headless")
    wait_for("a run", lambda: runs.is_dir() and list_runs(runs))
    run = newest_run(runs)
    wait_for("the middle", lambda: len(series(run)) >= steps // 2)
    asked = wish(run, "paused", "hard")
    freed = wait_for("a free GPU", lambda: event_time(run, "paused", asked) and gpu_free())
    done = len(series(run))
    product.save(
        pause_to_paused_s=(event_time(run, "paused", asked) or 0.0) - asked,
        pause_to_gpu_free_s=freed - asked,
        steps_before_pause=done,
    )
    began = wish(run, "running", "soft")
    stepped = wait_for("a step", lambda: len(series(run)) > done)
    product.save(resume_to_first_step_s=stepped - began)
    if training.wait():
        raise RuntimeError((product.work / "log.txt").read_text(encoding="utf-8")[-3000:])
    return run


def main() -> None:
    """Do it all, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--no-export", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True)
    product = Product(work, options.out)
    began = time.perf_counter()
    make_base(work / "base", options.tiny)
    product.save(make_base_s=time.perf_counter() - began)
    gated, folded = work / "gated", work / "folded"
    product.do(
        "integrate", "integrate", "--model-path", str(work / "base"), "--output-path", str(gated)
    )
    config = make_settings(work, options)
    straight = work / "straight"
    product.do("train", "--runs-dir", str(straight), "train", "-c", str(config), "--headless")
    expected = series(newest_run(straight))
    run = paused_and_resumed(product, config, options.steps)
    found = series(run)
    names = ("step", "loss", "task_loss", "grad_norm", "learning_rate")
    same = [[row[name] for name in names] for row in expected] == [
        [row[name] for name in names] for row in found
    ]
    product.save(
        same_bits_after_pause=same,
        steps=len(found),
        first_loss=found[0]["loss"],
        last_loss=found[-1]["loss"],
    )
    if options.no_export:
        return
    adapter = run.root / "train" / "adapter"
    product.do(
        "fold",
        *("export", "--fold-only", "--model-path", str(gated)),
        *("--adapter-path", str(adapter), "--output-path", str(folded)),
    )
    began = time.perf_counter()
    written = write_gguf(
        GgufSource.of(folded), work / "model.gguf", type_="Q8_0", name="benchmark", provenance={}
    )
    product.save(gguf_s=time.perf_counter() - began, gguf_bytes=written.size_bytes)


if __name__ == "__main__":
    main()

"""Are evaluations right? Benchmarks offline, equal when repeated, and true about known models.

    python benchmarks/evaluation_tasks.py RUN DATA [--choices 200] [--generated 30] [--keep DIR]

RUN is a finished run's folder (its checkpoint, adapter and held-out text are used); DATA is a
folder with the published files (jcommonsenseqa-*.json, jnli-*.json, jsquad-*.json, mgsm_ja.tsv,
jmmlu/, xstest_prompts.csv). The held-out documents are given to the base twice and to a copy with
noise in its weights; the base answers every item of every benchmark, and every tenth one again,
from nothing; then the tuned model answers all of them. After each step the findings so far are
written to DIR/result.json, and a second call goes on where the first was ended. Prints one JSON
object; exits 1 where a repeated number differs, a broken model is not reported as worse, or an
identical one as different. The network is not used: the libraries are told to be offline.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

import torch

from so8t_core.contract.config import load_settings
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.evaluation.choice import choose_items, start_token
from so8t_core.evaluation.items import Items
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.measure import Measuring, SideResults
from so8t_core.evaluation.models import load_tuned
from so8t_core.evaluation.readers import Reader, TorchReader
from so8t_core.evaluation.summary import Summary
from so8t_core.evaluation.tasks import Texts
from so8t_core.model.base import resolve_base
from so8t_core.model.loading import load_base, load_tokenizer
from so8t_core.training.encoding import Encoder

NOISE = 0.02
"""Spread of what is added to the broken model's weights."""

Load = Callable[[], Reader]


class Bench:
    """One run's models and items."""

    def __init__(self, run: Path, data: Path, choices: int, generated: int, keep: Path) -> None:
        self.run = run
        self.keep = keep
        self.settings = load_settings(run / "run.yaml")
        self.evaluate = _settings(data, choices, generated)
        self.tokenizer = load_tokenizer(run / "integrate" / "checkpoint")
        self.encoder = Encoder(self.tokenizer, "template", 192, "drop")
        self.items = choose_items(run / "cleanse", self.encoder, self.evaluate, self.settings.seed)

    def base(self) -> Reader:
        """The base model."""
        folder = resolve_base(self.settings.model, seed=self.settings.seed)
        return TorchReader(load_base(folder, dtype=torch.float32))

    def tuned(self) -> Reader:
        """The trained model."""
        checkpoint = self.run / "integrate" / "checkpoint"
        adapter = self.run / "train" / "adapter"
        return TorchReader(load_tuned(checkpoint, adapter, "cpu", torch.float32))

    def broken(self) -> Reader:
        """The base with noise in every matrix."""
        folder = resolve_base(self.settings.model, seed=self.settings.seed)
        model = load_base(folder, dtype=torch.float32)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * NOISE)
        return TorchReader(model)

    def measure(self, side: str, load: Load, items: Items) -> SideResults:
        """All items of one side, each name with a ledger of its own."""
        with ItemLedger(self.keep / f"{side}.jsonl") as ledger:
            return Measuring(
                items=items,
                ledger=ledger,
                settings=self.evaluate,
                texts=Texts(
                    start_token(self.tokenizer), self.encoder.literal_ids, self.tokenizer.decode
                ),
                end_ids=frozenset({self.tokenizer.eos_token_id}),
                step=lambda: None,
                told=lambda *_: None,
            ).run(side, side, load)

    def figures(self, items: Items, sides: dict[str, SideResults]) -> dict[str, Any]:
        """The phase's own summary of two sides."""
        first, second = sides
        return Summary(
            items, sides, (first, second), self.evaluate, self.tokenizer, self.settings.seed
        ).figures()


def _settings(data: Path, choices: int, generated: int) -> EvaluateSettings:
    def one(name: str, pattern: str, shots: int, items: int) -> dict[str, Any]:
        found = sorted(data.glob(pattern))
        return {
            "name": name,
            "data": str(found[-1]),
            "shots": shots,
            "max_items": items,
            "max_new_tokens": 24,
        }

    return EvaluateSettings.model_validate(
        {
            "tasks": [
                one("jcommonsenseqa", "jcommonsenseqa-*valid*.json", 3, choices),
                one("jnli", "jnli-*.json", 3, choices),
                one("jmmlu", "jmmlu", 3, choices),
                one("jsquad", "jsquad-*.json", 1, generated),
                one("mgsm_ja", "mgsm_ja.tsv", 3, generated),
            ],
            "safety": {
                "xstest": str(data / "xstest_prompts.csv"),
                "max_prompts": 2 * (generated // 2),
                "max_labelled": 2,
                "max_new_tokens": 24,
            },
            "max_prompts": 0,
            "max_answers": 0,
            "max_tokens_per_item": 192,
            "max_documents": 12,
        }
    )


def _every_tenth(items: Items) -> Items:
    tasks = tuple(replace(task, scored=task.scored[::10]) for task in items.tasks)
    return replace(items, tasks=tasks, safety=items.safety[::10], texts=items.texts[::4])


def _equal(whole: SideResults, again: SideResults) -> bool:
    """Every number of the second is the first's, to the bit."""
    return all(
        (
            all(whole.bits[key] == value for key, value in again.bits.items()),
            all(whole.answers[key] == value for key, value in again.answers.items()),
            all(
                whole.tasks[name][key] == value
                for name, scores in again.tasks.items()
                for key, value in scores.items()
            ),
        )
    )


def main() -> int:
    """Run it all; 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--choices", type=int, default=200)
    parser.add_argument("--generated", type=int, default=30)
    parser.add_argument("--keep", type=Path, default=Path("evaluation-tasks"))
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        arguments.run, arguments.data, arguments.choices, arguments.generated, arguments.keep
    )
    items = bench.items
    result: dict[str, Any] = {"items": {task.name: len(task.scored) for task in items.tasks}}

    def found(name: str, value: Any) -> None:
        result[name] = value
        text = json.dumps(result, ensure_ascii=False, indent=2)
        (arguments.keep / "result.json").write_text(text + "\n", encoding="utf-8")

    texts = replace(items, tasks=(), safety=())
    base = bench.measure("base", bench.base, texts)
    verdicts = {}
    for name, load in (("identical", bench.base), ("broken", bench.broken)):
        measured = {"base": base, name: bench.measure(name, load, texts)}
        verdicts[name] = bench.figures(texts, measured)["documents"]
        found("known_models", verdicts)
    means, repeated = {}, {}
    for task in items.tasks:
        one = replace(texts, tasks=(task,))
        whole = bench.measure("base", bench.base, one)
        means[task.name] = _means(whole.tasks[task.name])
        found("base", means)
        part = _every_tenth(one)
        again = bench.measure("again", bench.base, part)
        repeated[task.name] = {"asked_again": len(again.tasks[task.name])}
        repeated[task.name]["equal"] = _equal(whole, again)
        found("repeated", repeated)
    base = bench.measure("base", bench.base, items)
    tuned = bench.measure("tuned", bench.tuned, items)
    found("base_and_tuned", bench.figures(items, {"base": base, "tuned": tuned}))
    print((arguments.keep / "result.json").read_text(encoding="utf-8"))
    right = (
        all(one["equal"] for one in repeated.values())
        and verdicts["identical"]["verdict"] == "no difference shown"
        and verdicts["broken"]["verdict"] == "worse"
    )
    return 0 if right else 1


def _means(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    metrics = next(iter(scores.values()))
    return {name: sum(one[name] for one in scores.values()) / len(scores) for name in metrics}


if __name__ == "__main__":
    sys.exit(main())

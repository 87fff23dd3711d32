"""Which trainings the ablation makes, in which order, and who makes them.

A study first tunes its learning rates on the validation part with one seed, looking further where
the best lies at an edge, and is then judged at the best with three other seeds. Studies of part a
come first; the others take their rates from them. A cut leaves whole studies of the earlier parts.
"""

from __future__ import annotations

import heapq
import json
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ablation_replicas import Layout
from benchmarks.ablation_training import Cell, Scale, at_seeds, score

SEEDS = (1, 2, 3)
TUNING_SEED = 0
LARGEST_GROUP = 6
WIDENINGS = 2
"""How often a tuning whose best rate lies at the edge looks beyond it."""
Result = dict[str, Any]
Work = Generator[list[Cell], list[Result], None]
Rates = tuple[float, float]
"""Of LoRA or OFT, and of the gates."""

LORA = Layout(lora_rank=64)
GATES = Layout(gates=("o_proj",))
BOTH = Layout(lora_rank=64, gates=("o_proj",))
OFT = Layout(oft=True)
METHODS = {"LoRA r 64": LORA, "gates": GATES, "LoRA r 64 + gates": BOTH, "OFT": OFT}
START = {
    "LoRA r 64": (5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
    "gates": (3e-3, 1e-2, 2e-2, 4e-2, 8e-2),
    "OFT": (5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
}
SIZES = {
    "LoRA r 16": Layout(lora_rank=16),
    "LoRA r 4": Layout(lora_rank=4),
    "LoRA r 1": Layout(lora_rank=1),
    "LoRA r 2 on o_proj": Layout(lora_rank=2, lora_targets=("o_proj",)),
    "LoRA r 1 on o_proj, 10 layers": Layout(
        lora_rank=1, lora_targets=("o_proj",), lora_layers="10-19"
    ),
    "gates in 15 layers": Layout(gates=("o_proj",), gate_layers="15-29"),
    "gates in 5 layers": Layout(gates=("o_proj",), gate_layers="25-29"),
}
PLACES = {
    "gates on down_proj": Layout(gates=("down_proj",)),
    "gates on o_proj and down_proj": Layout(gates=("o_proj", "down_proj")),
    "gates on o_proj, 10 middle layers": Layout(gates=("o_proj",), gate_layers="10-19"),
    "gates on down_proj, 10 middle layers": Layout(gates=("down_proj",), gate_layers="10-19"),
}
DOCUMENTS = (10, 100, 1000)


@dataclass
class Grid:
    """The studies over the models of one scale, and the rates they have found so far."""

    scale: Scale
    best: dict[str, Rates] = field(default_factory=dict)

    def studies(self) -> Iterator[tuple[str, tuple[str, ...], Callable[[], Work]]]:
        """Name, the methods whose rates it needs, and its work; most important first."""
        for name, rates in START.items():
            yield f"a {name}", (), partial(self._alone, "a", name, METHODS[name], rates)
        yield "a LoRA r 64 + gates", ("LoRA r 64", "gates"), self._both
        for name, layout in SIZES.items():
            like = "LoRA r 64" if layout.lora_rank else "gates"
            factors = (1.0, 2.0, 4.0) if layout.lora_rank else (0.5, 1.0, 2.0)
            yield f"b {name}", (like,), partial(self._near, "b", name, layout, like, factors)
        for name, layout in METHODS.items():
            yield f"c {name}", (name,), partial(self._few, name, layout)
        for name, layout in PLACES.items():
            near = partial(self._near, "d", name, layout, "gates", (0.5, 1.0, 2.0))
            yield f"d {name}", ("gates",), near

    def _cell(self, part: str, name: str, layout: Layout, rates: Rates) -> Cell:
        return Cell(part, name, "tune", layout, TUNING_SEED, *rates, self.scale.steps)

    def _alone(self, part: str, name: str, layout: Layout, tried: Sequence[float]) -> Work:
        """Tune one rate over values that ascend, then judge."""
        tried = list(tried)
        results = yield [self._one(part, name, layout, rate) for rate in tried]
        for _ in range(WIDENINGS):
            at = self._rate(min(results, key=score))
            if at not in (tried[0], tried[-1]):
                break
            ratio = tried[1] / tried[0] if at == tried[0] else tried[-1] / tried[-2]
            more = [at / ratio, at / ratio**2] if at == tried[0] else [at * ratio, at * ratio**2]
            results += yield [self._one(part, name, layout, rate) for rate in more]
            tried = sorted([*tried, *more])
        yield from self._judge(part, name, layout, results)

    def _one(self, part: str, name: str, layout: Layout, rate: float) -> Cell:
        only_gates = not layout.lora_rank and not layout.oft
        return self._cell(part, name, layout, (0.0, rate) if only_gates else (rate, 0.0))

    @staticmethod
    def _rate(result: Result) -> float:
        return float(result["rate"] or result["gate_rate"])

    def _judge(self, part: str, name: str, layout: Layout, results: list[Result]) -> Work:
        found = min(results, key=score)
        self.best[name] = (found["rate"], found["gate_rate"])
        yield at_seeds(self._cell(part, name, layout, self.best[name]), SEEDS)

    def _both(self) -> Work:
        """Rates of LoRA around its own best, of the gates at their best and below."""
        lora, gates = self.best["LoRA r 64"][0], self.best["gates"][1]
        name = "LoRA r 64 + gates"
        results = yield [
            self._cell("a", name, BOTH, (lora * a, gates * b))
            for a in (0.5, 1.0)
            for b in (1.0, 1 / 4, 1 / 16)
        ]
        yield from self._judge("a", name, BOTH, results)

    def _near(
        self, part: str, name: str, layout: Layout, like: str, factors: Sequence[float]
    ) -> Work:
        """Tune around the best rate of a kindred method, then judge."""
        rate = max(self.best[like])
        yield from self._alone(part, name, layout, [rate * factor for factor in factors])

    def _few(self, name: str, layout: Layout) -> Work:
        """The method at its best rates on few documents; the best point by validation counts."""
        cell = replace(self._cell("c", name, layout, self.best[name]), steps=self.scale.few_steps)
        yield [
            one for count in DOCUMENTS for one in at_seeds(replace(cell, documents=count), SEEDS)
        ]


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of one study in groups of about equal size, none above `LARGEST_GROUP`."""
    count = -(-len(cells) // LARGEST_GROUP)
    return [list(cells[number::count]) for number in range(count)]


@dataclass
class _Running:
    name: str
    priority: int
    work: Work
    waiting: int = 0
    results: list[Result] = field(default_factory=list)


class Schedule:
    """Hands groups to workers by importance, and writes each finished cell as a line of JSON."""

    def __init__(self, grid: Grid, out: Path, earlier: Sequence[Result], deadline: float) -> None:
        self.grid = grid
        self.out = out
        self.deadline = deadline
        self._known = {_key(result): result for result in earlier}
        self._ready: list[tuple[int, int, _Running, list[Cell]]] = []
        self._todo = list(enumerate(grid.studies()))
        self._number = 0
        self._rates_s: deque[float] = deque(maxlen=6)  # seconds a step and cell, of late
        self.cut = False

    def run(self, pool: Executor, slots: int, call: Callable[..., list[Result]]) -> None:
        """Until everything is done, or no group is expected to end before the deadline."""
        running: dict[Future[list[Result]], tuple[_Running, list[Cell]]] = {}
        self._begin()
        while self._ready or running:
            while self._ready and len(running) < slots:
                _, _, study, cells = heapq.heappop(self._ready)
                if not self._fits(cells):
                    self.cut = True
                    continue
                running[pool.submit(call, cells, self.deadline)] = (study, cells)
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                study, cells = running.pop(future)
                self._finish(study, cells, self._result(study, future))

    @staticmethod
    def _result(study: _Running, future: Future[list[Result]]) -> list[Result]:
        """What the group gave; none where it failed, which ends its study and no other."""
        try:
            return future.result()
        except BrokenExecutor:
            raise
        except Exception:  # noqa: BLE001  it is printed, and the run is said to be cut
            print(f"{study.name} failed:\n{traceback.format_exc()}", flush=True)
            return []

    def _fits(self, cells: Sequence[Cell]) -> bool:
        slowest_s = max(self._rates_s, default=0.0)
        return time.time() + slowest_s * len(cells) * cells[0].steps <= self.deadline

    def _begin(self) -> None:
        """Start every study whose rates are known."""
        waiting = []
        for priority, (name, needs, make) in self._todo:
            if all(need in self.grid.best for need in needs):
                self._advance(_Running(name, priority, make()), None)
            else:
                waiting.append((priority, (name, needs, make)))
        found = len(waiting) < len(self._todo)
        self._todo = waiting
        if found and waiting:
            self._begin()

    def _advance(self, study: _Running, results: list[Result] | None) -> None:
        try:
            cells = next(study.work) if results is None else study.work.send(results)
        except StopIteration:
            return
        study.results = [
            self._known[_key(asdict(c))] for c in cells if _key(asdict(c)) in self._known
        ]
        rest = [cell for cell in cells if _key(asdict(cell)) not in self._known]
        study.waiting = len(groups(rest)) if rest else 0
        if not rest:
            self._advance(study, study.results)
            return
        for group in groups(rest):
            self._number += 1
            heapq.heappush(self._ready, (study.priority, self._number, study, group))

    def _finish(self, study: _Running, cells: Sequence[Cell], results: list[Result]) -> None:
        if not results:
            self.cut = True
            return
        with self.out.open("a", encoding="utf-8") as file:
            for result in results:
                file.write(json.dumps(result) + "\n")
        self._rates_s.append(results[0]["group_s"] / (len(cells) * cells[0].steps))
        print(
            f"{study.name} ({results[0]['role']}, {len(cells)} of {cells[0].steps} steps): "
            f"{results[0]['group_s']:.1f} s, validation "
            + ", ".join(f"{score(result):.3f}" for result in results),
            flush=True,
        )
        study.results += results
        study.waiting -= 1
        if not study.waiting:
            self._advance(study, study.results)
            self._begin()


def _key(result: Result) -> str:
    """What tells cells apart, of a result or of a cell."""
    names = ("part", "name", "role", "layout", "seed", "rate", "gate_rate", "steps", "documents")
    return json.dumps([result[name] for name in names], sort_keys=True)

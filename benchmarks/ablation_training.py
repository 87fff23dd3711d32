"""One group of the ablation's trainings: from the frozen base to its scores, on one device."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import get_scheduler

from benchmarks.ablation_corpus import MODEL, Corpus
from benchmarks.ablation_replicas import Layout, Replicas

WARMUP_FRACTION = 0.1


@dataclass(frozen=True)
class Scale:
    """How long and wide everything is.

    `rows`: of `length` tokens, in one optimiser step. `rows_in_flight`: of all replicas together in
    one forward pass, which decides the memory. `judged_rows`: by what is judged.
    """

    rows: int = 8
    length: int = 512
    steps: int = 200
    few_steps: int = 100
    rows_in_flight: int = 20
    judged_rows: tuple[tuple[str, int], ...] = (
        ("validation", 16),
        ("test", 48),
        ("english_technical", 24),
        ("english_prose", 24),
    )


@dataclass(frozen=True)
class Cell:
    """One training. `role`: `tune` looks for a rate, `judge` counts for the tables.

    `rate` is that of LoRA or OFT, `gate_rate` that of the gates; 0 where there are none.
    `documents`: how many are trained on, None for all.
    """

    part: str
    name: str
    role: str
    layout: Layout
    seed: int
    rate: float
    gate_rate: float
    steps: int
    documents: int | None = None

    @property
    def points(self) -> tuple[int, ...]:
        """The steps after which it is judged."""
        if self.role == "tune":
            return (self.steps,)
        shares = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
        return tuple(sorted({max(1, round(share * self.steps)) for share in shares}))


Judged = dict[str, tuple[NDArray[np.int64], int]]
"""Rows by name, and how many bytes of text their targets are."""


def load_base(parts: Path | None, folder: Path | None, dtype: torch.dtype) -> Any:
    """The base model: from its GGUF file in parts below `parts`, or from a model folder."""
    from transformers import LlamaForCausalLM, Phi3ForCausalLM

    from so8t_core.model.starter import to_phi3

    if folder is not None:
        return Phi3ForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    assert parts is not None
    pieces = sorted(parts.rglob(f"{MODEL}.[0-9]"), key=lambda path: path.name)
    whole = parts / MODEL
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    llama = LlamaForCausalLM.from_pretrained(parts, gguf_file=MODEL, dtype=torch.float32).eval()
    return to_phi3(llama).to(dtype)


def judged_rows(corpus: Corpus, scale: Scale) -> Judged:
    """What every training is judged on."""
    found: Judged = {}
    for name, most in scale.judged_rows:
        rows = corpus.rows(name, scale.length, most)
        found[name] = (rows, int(corpus.token_bytes[rows[:, 1:]].sum(dtype=np.int64)))
    return found


def _autocast(device: torch.device) -> Any:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


@torch.no_grad()
def bits_per_byte(replicas: Replicas, judged: Judged, scale: Scale) -> list[dict[str, float]]:
    """Of each replica and each judged text."""
    device = replicas.model.device
    replicas.bank.open()
    each = max(1, 2 * scale.rows_in_flight // replicas.count)
    found: list[dict[str, float]] = [{} for _ in range(replicas.count)]
    for name, (rows, size) in judged.items():
        nats = torch.zeros(replicas.count, device=device)
        for start in range(0, len(rows), each):
            ids = torch.from_numpy(rows[start : start + each]).to(device)
            with _autocast(device):
                nats += replicas.losses(ids.repeat(replicas.count, 1))
        for scores, one in zip(found, nats.tolist(), strict=True):
            scores[name] = one / math.log(2) / size
    replicas.bank.close()
    return found


def judge_base(model: Any, judged: Judged, scale: Scale) -> dict[str, float]:
    """The base's own bits per byte."""
    return bits_per_byte(Replicas(model, Layout(), (0,)), judged, scale)[0]


class Group:
    """The trainings of cells with one layout and one number of steps."""

    def __init__(self, model: Any, corpus: Corpus, cells: Sequence[Cell], scale: Scale) -> None:
        self.cells = cells
        self.scale = scale
        self.device = model.device
        self.replicas = Replicas(model, cells[0].layout, [cell.seed for cell in cells])
        count = cells[0].steps * scale.rows
        self.rows = torch.stack(
            [
                torch.from_numpy(
                    corpus.training_rows(count, scale.length, cell.seed, cell.documents)
                )
                for cell in cells
            ]
        ).to(self.device)  # (replicas, steps x rows, length)
        self.optimizer = self._optimizer()
        self.schedule = get_scheduler(
            "cosine",
            self.optimizer,
            math.ceil(WARMUP_FRACTION * cells[0].steps),
            num_training_steps=cells[0].steps,
        )
        most = max(1, scale.rows_in_flight // len(cells))
        self.micro = max(size for size in range(1, most + 1) if scale.rows % size == 0)

    def _optimizer(self) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = []
        for index, cell in enumerate(self.cells):
            for rate, parameters in (
                (cell.rate, self.replicas.plain[index]),
                (cell.gate_rate, self.replicas.thetas(index)),
            ):
                if parameters:
                    groups.append({"params": parameters, "lr": rate})
        return torch.optim.AdamW(groups, weight_decay=0.0, fused=self.device.type == "cuda")

    def step(self, number: int) -> None:
        """One optimiser step of every replica."""
        self.replicas.clear_gradients()
        self.replicas.bank.open()
        first = number * self.scale.rows
        targets = self.scale.rows * (self.scale.length - 1)
        for start in range(first, first + self.scale.rows, self.micro):
            ids = self.rows[:, start : start + self.micro].flatten(0, 1)
            with _autocast(self.device):
                loss = self.replicas.losses(ids).sum() / targets
            loss.backward()
        self.replicas.bank.send_back()
        for replica in range(len(self.cells)):
            nn.utils.clip_grad_norm_(self.replicas.own(replica), 1.0)
        self.optimizer.step()
        self.schedule.step()

    def train(self, judged: Judged, deadline: float) -> list[list[dict[str, float]]] | None:
        """The scores of each cell at its points; None where the deadline came first."""
        points: list[list[dict[str, float]]] = [[] for _ in self.cells]
        for number in range(self.cells[0].steps):
            if time.time() > deadline:
                return None
            self.step(number)
            if number + 1 in self.cells[0].points:
                scores = bits_per_byte(self.replicas, judged, self.scale)
                for found, one in zip(points, scores, strict=True):
                    found.append({"step": number + 1, **one})
        return points


def device_name(device: torch.device) -> str:
    """What the tables call it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def finite(value: Any) -> Any:
    """The value with None for each number that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run_group(
    model: Any,
    corpus: Corpus,
    judged: Judged,
    cells: Sequence[Cell],
    scale: Scale,
    deadline: float,
) -> list[dict[str, Any]]:
    """A result for each cell; none where the deadline came first. The base is left as it was."""
    began = time.time()
    torch.cuda.empty_cache()  # what a group of another shape left; nothing without a GPU
    group = Group(model, corpus, cells, scale)
    try:
        points = group.train(judged, deadline)
        angles = group.replicas.mean_angles()
    finally:
        group.replicas.remove()
    if points is None:
        return []
    spent_s = time.time() - began
    return [
        finite(
            {
                **asdict(cell),
                "parameters": group.replicas.parameters,
                "tokens": cell.steps * scale.rows * scale.length,
                "points": found,
                "rotation_angle_mean": angle,
                "device": device_name(group.device),
                "group_s": spent_s,
                "group_cells": len(cells),
            }
        )
        for cell, found, angle in zip(cells, points, angles, strict=True)
    ]


def at_seeds(cell: Cell, seeds: Sequence[int]) -> list[Cell]:
    """The cell as it is judged, once for each seed."""
    return [replace(cell, role="judge", seed=seed) for seed in seeds]


def score(result: dict[str, Any], name: str = "validation") -> float:
    """The best of the points by validation: its score; infinity where training diverged."""
    best = best_point(result)
    return math.inf if best is None else float(best[name])


def best_point(result: dict[str, Any]) -> dict[str, float] | None:
    """The point with the lowest validation score; None where none is a number."""
    points: list[dict[str, float]] = [p for p in result["points"] if p["validation"] is not None]
    return min(points, key=lambda point: point["validation"], default=None)

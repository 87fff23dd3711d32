"""A run whose cleanse, integrate and train are done: tiny model, made-up text, random adapter."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import torch

from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.base import digest_of, digest_of_weights
from so8t_core.model.integrate import integrate
from so8t_core.model.loading import load_gated
from so8t_core.model.tiny import build_tiny
from so8t_core.phases.base import HardPause, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter
from so8t_core.training.adapter import attach_adapter, write_adapter
from so8t_core.training.gate_terms import trained_gates

TINY_EVALUATION: dict[str, Any] = {
    "max_documents": 8,
    "max_answers": 8,
    "max_tokens_per_item": 96,
    "max_prompts": 3,
    "max_new_tokens": 5,
    "samples": 2,
    "safety": {"max_labelled": 1, "max_new_tokens": 4},
    "bootstrap_resamples": 200,
    "device": "cpu",
}


CLEANSED: dict[str, Any] = {
    "rows": {kind: {"train": 9, "test": 5} for kind in ("corpus", "instruction", "safety")},
    "pages_by_licence": {"CC-BY-4.0": 7, "a|b <i>": 1},
}
"""What a model card shows of cleanse's figures."""


def build_trained(root: Path, *, spread: float = 0.05) -> Path:
    """Base, gated checkpoint and an adapter whose every number is random of that spread."""
    base = root / "base"
    build_tiny(base, seed=7)
    model_settings = ModelSettings(base=str(base))
    integrate(base, root / "integrate" / "checkpoint", model_settings)
    gated = load_gated(root / "integrate" / "checkpoint", dtype=torch.float32)
    tuned = attach_adapter(gated, Settings().train, seed=1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    (root / "train").mkdir()
    facts = {"base_weights_digest": digest_of_weights(root / "integrate" / "checkpoint")}
    write_adapter(root / "train" / "adapter", tuned, trained_gates(tuned), facts, "a card")
    write_test_split(root / "cleanse")
    return root


def write_test_split(folder: Path, *, documents: int = 10, pairs: int = 9) -> None:
    """Held-out documents, the last one long, and instruction pairs, two of a page."""
    rows = {
        "corpus": [
            {
                "id": f"d{n}",
                "group": f"g{n}",
                "text": f"第{n}章。東京都は日本の首都であり、電車が{n}本走ります。"
                * (40 if n == 9 else 1),
            }
            for n in range(documents)
        ],
        "instruction": [
            {
                "id": f"p{n}",
                "group": f"g{n // 2}",
                "instruction": f"{n}番目の設定を変更する手順を教えてください。",
                "input": "",
                "output": f"まずファイルを開き、{n}行目を変更してから保存します。",
            }
            for n in range(pairs)
        ],
        "safety": [
            {
                "id": f"s{n}",
                "group": f"g{n}",
                "text": f"{n}番目の文章です。どう思いますか。",
                "label": label,
                "response": "" if label == "ALLOW" else "お手伝いできません。",
            }
            for n, label in enumerate(("ALLOW", "ESCALATION", "DENY", "REFUSE", "REFUSE"))
        ],
    }
    for kind, content in rows.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        table = pyarrow.Table.from_pylist(content)
        pyarrow.parquet.write_table(table, folder / kind / "test.parquet")


def stand_in(phase: PhaseName) -> Manifest:
    """A manifest of a phase that was never run here."""
    return Manifest(
        phase=phase,
        run="trial",
        settings_sha256="0" * 64,
        inputs={},
        digest=f"digest of {phase}",
        outputs=(),
        figures=CLEANSED if phase == "cleanse" else {},
        attempt=1,
        started_at=utc_now(),
        finished_at=utc_now(),
        active_s=0.0,
    )


@dataclass
class PausingGate:
    """Leaves hard at the point of the given number, counted from 1."""

    pause_at: int
    points: int = 0
    requested: bool = False

    def point(self, save: Callable[[], None] | None = None) -> None:
        self.points += 1
        if self.points == self.pause_at:
            raise HardPause

    async def apoint(self) -> None:
        self.point()


def context(
    inputs: Path,
    run: Path,
    phase: PhaseName,
    *,
    pause: Any = None,
    evaluated: Mapping[str, Any] | None = None,
    **settings: Any,
) -> PhaseContext:
    """A context of a new run that sees the folders of `inputs` as its own earlier phases.

    `evaluated`: figures of an evaluate phase that was run on TINY_EVALUATION in the same run.
    """
    (run / phase).mkdir(parents=True, exist_ok=True)
    for name in ("cleanse", "integrate", "train"):
        if not (run / name).exists():
            os.symlink(inputs / name, run / name)
    found: dict[PhaseName, Manifest] = {
        name: stand_in(name) for name in ("cleanse", "integrate", "train")
    }
    if evaluated is not None:
        settings_of = {"evaluate": TINY_EVALUATION}
        found["evaluate"] = stand_in("evaluate").model_copy(update={"figures": dict(evaluated)})
    else:
        settings_of = {}
    return PhaseContext(
        run=RunDir(run),
        phase=phase,
        settings=Settings.model_validate(
            {"model": {"base": str(inputs / "base")}, **settings_of, phase: settings}
        ),
        inputs=found,
        emit=RecordingEmitter(),
        pause=pause or OpenGate(),
    )


def own_base_context(inputs: Path, run: Path, phase: PhaseName, **settings: Any) -> PhaseContext:
    """The same of a run that trained the checkpoint of `inputs` as a folder of the user's own.

    It has no integrate, and its `model.base` is another model.
    """
    checkpoint = inputs / "integrate" / "checkpoint"
    ctx = context(inputs, run, phase, **settings)
    (run / "integrate").unlink()
    train = ctx.settings.train.model_copy(update={"model_path": checkpoint})
    other = ctx.settings.model.model_copy(update={"base": str(inputs / "no such base")})
    trained = stand_in("train").model_copy(update={"inputs": {"base_model": digest_of(checkpoint)}})
    return replace(
        ctx,
        settings=ctx.settings.model_copy(update={"train": train, "model": other}),
        inputs={"cleanse": ctx.inputs["cleanse"], "train": trained},
    )

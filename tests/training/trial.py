"""A tiny training: random Phi-3, made-up data, a context without engine, and planned kills.

As a program (`python -m tests.training.trial SPEC.json`) it runs the train phase in a process of
its own, which ends itself with SIGKILL where the spec says.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.phases.base import HardPause, Outcome, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter

_PATIENCE_S = 120
OLDER_NAME = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
"""For who loads with PEFT 0.21, which still asks transformers by the older of two names."""

QUICK: dict[str, Any] = {
    "max_length_tokens": 48,
    "packing": False,
    "lora_rank": 64,  # large enough that the optimiser keeps LoRA's states in 8 bits
    "max_steps": 7,
    "micro_batch_size": 2,
    "accumulation_steps": 3,
    "save_every_steps": 2,
    "keep_checkpoints": 3,
    "eval_every_steps": 3,
    "eval_max_samples": 6,
    "sample_prompts": (),  # every token of a sample is a point to pause at
    "threads": 1,
    "gradient_checkpointing": False,
    "learning_rate": 1e-3,
    "device": "cpu",
}


CLEANSED: dict[str, Any] = {
    "rows": {kind: {"train": 10 - n} for n, kind in enumerate(("corpus", "instruction"))},
    "pages_by_licence": {"CC-BY-4.0": 7, "none": 2},
}
"""Figures of the cleanse phase, as far as training shows them."""


def make_model(folder: Path, parametrisation: str = "exp") -> Path:
    """A gated checkpoint of four random layers."""
    from so8t_core.contract.settings.model import GateSettings, ModelSettings
    from so8t_core.model.integrate import integrate
    from so8t_core.model.tiny import build_tiny

    build_tiny(folder / "base", seed=7)
    gate = GateSettings(parametrisation=parametrisation)  # type: ignore[arg-type]
    integrate(folder / "base", folder / "gated", ModelSettings(base="tiny", gate=gate))
    return folder / "gated"


def make_cleansed(folder: Path) -> Path:
    """What cleanse writes: twelve pairs, four safety rows, six documents; some held out."""
    rows: dict[str, list[dict[str, Any]]] = {
        "instruction": [
            {
                "id": f"i{n}",
                "instruction": f"{n}番目の設定を変更する手順を教えてください。",
                "input": "対象はファイルです。" if n % 3 == 0 else "",
                "output": f"まずファイルを開き、{n}行目を変更してから保存します。",
            }
            for n in range(12)
        ],
        "safety": [
            {
                "id": f"s{n}",
                "text": f"これは検査用の文章{n}です。",
                "label": "REFUSE" if n else "ALLOW",
                "response": "その内容にはお答えできません。" if n else "",
            }
            for n in range(4)
        ],
        "thinking": [
            {
                "id": f"t{n}",
                "instruction": f"{n}番目の駅はどこですか。",
                "input": "",
                "output": "<think-task>問い</think-task><think-safety>ALLOW</think-safety>"
                f"<think-policy>答える</think-policy><final>{n}番目は東京駅です。</final>",
            }
            for n in range(4)
        ],
        "corpus": [
            {
                "id": f"c{n}",
                "text": f"第{n}章。東京都は日本の首都であり、電車が走ります。" * (n + 1),
            }
            for n in range(6)
        ],
    }
    for kind, content in rows.items():
        for split, part in (("train", content[2:]), ("validation", content[:2])):
            path = folder / kind / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(part), path)
    return folder


def _stand_in(phase: Any) -> Manifest:
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


def make_run(root: Path, model: Path) -> Path:
    """A run whose cleanse and integrate phases are done."""
    make_cleansed(root / "cleanse")
    (root / "integrate").mkdir(parents=True)
    (root / "integrate" / "checkpoint").symlink_to(model)
    return root


@dataclass
class PlannedGate:
    """Pauses hard, or kills this process, at the training's point of that number, from 1 on.

    `hold_s`: how long a soft pause holds at every point.
    """

    pause_at: int | None = None
    kill_at: int | None = None
    hold_s: float = 0.0
    points: int = 0
    requested: bool = False

    def point(self, save: Callable[[], None] | None = None) -> None:
        if save is None:  # before the training itself
            return
        self.points += 1
        time.sleep(self.hold_s)
        if self.points == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.points == self.pause_at:
            save()
            raise HardPause

    async def apoint(self) -> None:
        self.point()


def context(root: Path, gate: Any = None, **settings: Any) -> PhaseContext:
    """A context for the train phase of the run at `root`."""
    return PhaseContext(
        run=RunDir(root),
        phase="train",
        settings=Settings.model_validate({"train": {**QUICK, **settings}}),
        inputs={"cleanse": _stand_in("cleanse"), "integrate": _stand_in("integrate")},
        emit=RecordingEmitter(),
        pause=gate or OpenGate(),
    )


def train(ctx: PhaseContext) -> Outcome:
    """Run the phase."""
    from so8t_core.phases.train import run

    (ctx.folder).mkdir(parents=True, exist_ok=True)
    return run(ctx)


def said(ctx: PhaseContext, kind: str) -> list[dict[str, Any]]:
    """The events of a kind."""
    assert isinstance(ctx.emit, RecordingEmitter)
    return [payload for name, payload in ctx.emit.events if name == kind]


def main(spec_path: str) -> None:
    """Run the attempts of every run of the spec, each in a process forked from this one.

    An attempt is {} or says where it ends: {"kill_at": point}, {"kill_in": [function, n-th call]},
    {"pause_at": point} or {"kill_after_s": seconds}; with {"hang_in": [function, n-th call]} that
    call never comes back. `ends.json` of a run says how each ended.
    """
    import so8t_core.phases.train  # noqa: F401  once for all attempts

    for run in json.loads(Path(spec_path).read_text()):
        ends = []
        for attempt in run["attempts"]:
            child = os.fork()
            if child == 0:
                _attempt(Path(run["root"]), attempt, run["settings"])
            if delay_s := attempt.get("kill_after_s"):
                time.sleep(delay_s)
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            ends.append("killed" if code == -signal.SIGKILL else f"exit {code}")
        Path(run["root"], "ends.json").write_text(json.dumps(ends))


def _attempt(root: Path, attempt: dict[str, Any], settings: dict[str, Any]) -> None:
    signal.alarm(_PATIENCE_S)  # ends a process that hangs against the plan
    if place := attempt.get("kill_in"):
        _arm(*place, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if place := attempt.get("hang_in"):
        _arm(*place, threading.Event().wait)
    gate = PlannedGate(attempt.get("pause_at"), attempt.get("kill_at"))
    ctx = context(root, gate, **settings)
    code = 1
    try:
        outcome = train(ctx)
        result = {"digest": outcome.digest, "resumes": outcome.figures["resumes"]}
        (root / "outcome.json").write_text(json.dumps(result))
        code = 0
    except HardPause:
        code = 3
    finally:
        os._exit(code)


def _arm(name: str, calls: int, strike: Callable[[], Any]) -> None:
    """Have something happen at the n-th call of a function or method, in whatever thread."""
    parts = name.split(".")
    depth = max(n for n in range(1, len(parts)) if ".".join(parts[:n]) in sys.modules)
    owner: Any = sys.modules[".".join(parts[:depth])]
    for part in parts[depth:-1]:
        owner = getattr(owner, part)
    original = getattr(owner, parts[-1])
    left = calls

    def armed(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            strike()
        return original(*args, **kwargs)

    setattr(owner, parts[-1], armed)


if __name__ == "__main__":
    main(sys.argv[1])

"""Runs the tiny demo as a user would, and kills it as a power cut would."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from so8t_core.contract.journal import JournalReader
from so8t_core.contract.lock import engine_liveness
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import list_runs
from so8t_core.contract.state import PhaseView, RunState
from so8t_core.contract.watch import Watch

CLI = [sys.executable, "-m", "so8t_core.cli"]
QUIET = ["--set", "engine.retry_delay_s=0.1", "--set", "notify.sound=false"]
RESULTS: tuple[PhaseName, ...] = PHASE_NAMES[:-1]  # the report tells of attempts and times
PATIENCE_S = 600.0


def so8t(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *words], capture_output=True, text=True, timeout=PATIENCE_S)


def start_demo(runs_dir: Path) -> RunDir:
    answer = so8t("demo", "--tiny", "--detach", "--runs-dir", str(runs_dir), *QUIET)
    assert answer.returncode == 0, answer.stderr
    return list_runs(runs_dir)[0]


def resume(run: RunDir) -> None:
    answer = so8t("resume", str(run.root), "--detach")
    assert answer.returncode == 0, answer.stderr


def finish(run: RunDir) -> None:
    """Wait for the end; resume as often as the engine gave up, as a stubborn user would."""
    end = time.monotonic() + PATIENCE_S
    watch = Watch(run)
    try:
        while time.monotonic() < end:
            watch.catch_up()
            if watch.seen().status == "done" and not engine_liveness(run).alive:
                return
            if not engine_liveness(run).alive:
                resume(run)
            time.sleep(0.1)
    finally:
        watch.close()
    raise AssertionError(f"{run.name} did not end: {watch.state}")


def state_of(run: RunDir) -> RunState:
    watch = Watch(run)
    try:
        return watch.catch_up()
    finally:
        watch.close()


@dataclass(frozen=True)
class Kill:
    """One power cut: in which phase, when, and what dies.

    It strikes `delay_s` after that phase's start; with a `share`, once so much of the phase's work
    is done, however quick the machine is.
    """

    phase: PhaseName
    delay_s: float
    target: str
    share: float | None = None

    def due(self, view: PhaseView, since_start_s: float) -> bool:
        if self.share is None:
            return since_start_s >= self.delay_s
        return view.total is not None and view.done > self.share * view.total


def schedule(seed: int, count: int, durations_s: dict[PhaseName, float]) -> list[Kill]:
    """Seeded kills in the order of the phases; every phase gets its turn before any its second."""
    chance = random.Random(seed)
    phases = list(PHASE_NAMES) * (count // len(PHASE_NAMES))
    phases += chance.sample(PHASE_NAMES, count - len(phases))
    kills = [
        Kill(
            phase, chance.uniform(0, durations_s[phase]), chance.choice(("engine", "worker", "all"))
        )
        for phase in phases
    ]
    return sorted(kills, key=lambda kill: PHASE_NAMES.index(kill.phase))


def strike(run: RunDir, kill: Kill) -> bool:
    """Wait for the moment and kill; False when the phase was over before it came."""
    end = time.monotonic() + PATIENCE_S
    watch = Watch(run)
    started: float | None = None
    try:
        while time.monotonic() < end:
            view = watch.catch_up().phases[kill.phase]
            if view.state in {"done", "failed"}:
                return False
            if view.state == "running" and started is None:
                started = time.monotonic()
            if started is not None and kill.due(view, time.monotonic() - started):
                return _kill(run, kill.target)
            if not engine_liveness(run).alive:
                resume(run)
            time.sleep(0.01)
    finally:
        watch.close()
    raise AssertionError(f"{kill} never came")


def _kill(run: RunDir, target: str) -> bool:
    with JournalReader(run.journal) as reader:
        starts = [e for e in reader.after(0, 10**9) if e.kind == "phase_started"]
    worker, engine = starts[-1].payload["pid"], engine_liveness(run).pid
    struck = False
    if target in {"engine", "all"} and engine is not None:
        os.kill(engine, signal.SIGKILL)
        struck = True
    if target in {"worker", "all"}:
        try:
            os.killpg(worker, signal.SIGKILL)
            struck = True
        except ProcessLookupError:
            pass  # its phase ended just now, or it went with the engine
    while target != "worker" and engine_liveness(run).alive:
        time.sleep(0.01)
    return struck


def fingerprint(run: RunDir) -> dict[str, object]:
    """What must be equal to the bit however the run came about."""
    digests = {name: Manifest.read(run.phase(name)).digest for name in RESULTS}
    files = [
        *sorted((run.phase("cleanse") / "corpus").glob("*.parquet")),
        *sorted((run.phase("cleanse") / "instruction").glob("*.parquet")),
        *sorted((run.phase("cleanse") / "safety").glob("*.parquet")),
        run.phase("train") / "series.jsonl",
        run.phase("train") / "adapter" / "adapter_model.safetensors",
    ]
    hashes = {
        str(path.relative_to(run.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    return {"digests": digests, "files": hashes, "pages": pages_of(run)}


def pages_of(run: RunDir) -> list[tuple[str, str]]:
    lines = (run.phase("crawl") / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["url"], row["sha256"]) for row in rows]


def check_journal(run: RunDir) -> None:
    """Numbers without gaps, and curves that never run twice."""
    with JournalReader(run.journal) as reader:
        events = reader.after(0, 10**9)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for name, series in state_of(run).phases["train"].series.items():
        assert list(series.steps) == sorted(set(series.steps)), name

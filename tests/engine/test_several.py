"""Training in two processes under the engine: started by torchrun, one of them killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from so8t_core.cli import main
from so8t_core.contract.config import load_settings
from so8t_core.contract.control import ControlStore, read_control
from so8t_core.contract.errors import EXIT_BUSY
from so8t_core.contract.lock import Liveness
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run, list_runs
from so8t_core.contract.watch import Watch
from so8t_core.engine import several
from so8t_core.engine.channel import WORKER_MARK, run_mark
from tests.training.trial import QUICK, make_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a training on two ranks that needs no other phase."""
    data = tmp_path / "own.jsonl"
    rows = [{"prompt": f"{n}番目の問い", "completion": f"答えは{n}です。"} for n in range(30)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = {
        **QUICK,
        "model_path": str(make_model(tmp_path / "model")),
        "dataset": str(data),
        "accumulation_steps": 4,
        "max_steps": 30,
        "sample_prompts": [],
        "gpus": 2,
    }
    engine = {"retry_delay_s": 0.1, "min_free_disk_gb": 0.1, "min_free_memory_gb": 0.1}
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps({"name": "two", "engine": engine, "train": train}))
    return path


def start(run: RunDir) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "so8t_core.engine", str(run.root), "train"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "7"},  # of another launcher
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def ranks_of(run: RunDir) -> dict[str, psutil.Process]:
    """The processes of a run by rank."""
    found = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get(WORKER_MARK) == run_mark(run) and "RANK" in environment:
            found[environment["RANK"]] = process
    return found


def kill_after_a_checkpoint(run: RunDir, rank: str) -> None:
    """Wait for the first checkpoint, then kill a rank."""
    for _ in range(600):
        if list((run.phase("train") / "checkpoints").glob("step-????????")):
            break
        time.sleep(0.1)
    ranks_of(run)[rank].kill()


def manifest_of(run: RunDir) -> Manifest:
    found = Manifest.read(run.phase("train"))
    assert found is not None
    return found


def test_a_killed_rank_ends_all_and_the_engine_tries_again(tmp_path: Path, config: Path) -> None:
    run = create_run(tmp_path / "runs", load_settings(config))
    engine = start(run)
    kill_after_a_checkpoint(run, "1")
    assert engine.wait(timeout=120) == 0
    assert ranks_of(run) == {}
    assert manifest_of(run).figures["resumes"] == 1
    watch = Watch(run)
    view = watch.catch_up().phases["train"]
    watch.close()
    assert (view.state, view.attempt) == ("done", 2)


def test_an_error_of_all_ranks_is_told_by_its_name(tmp_path: Path, config: Path) -> None:
    wrong = "train.base_storage=nf4"  # has no gradient on a CPU
    run = create_run(tmp_path / "runs", load_settings(config, [wrong]))
    assert start(run).wait(timeout=120) == 4
    watch = Watch(run)
    view = watch.catch_up().phases["train"]
    watch.close()
    assert (view.state, view.attempt) == ("failed", 1)
    assert view.error is not None
    assert view.error["type"] == "ResourceError"


@pytest.mark.long
def test_kills_of_both_ranks_change_no_bit(tmp_path: Path, config: Path) -> None:
    whole, killed = (create_run(tmp_path / name, load_settings(config)) for name in ("a", "b"))
    assert start(whole).wait(timeout=120) == 0
    engine = start(killed)
    kill_after_a_checkpoint(killed, "0")
    assert engine.wait(timeout=120) == 0
    assert manifest_of(killed).figures["resumes"] == 1
    assert manifest_of(killed).digest == manifest_of(whole).digest
    series = [run.phase("train").joinpath("series.jsonl").read_bytes() for run in (whole, killed)]
    assert series[0] == series[1]


def test_gpus_are_a_setting_of_a_new_run_and_a_live_one_of_an_old_one(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[RunDir] = []

    def launch(run: RunDir, *_: Any, **__: Any) -> int:
        started.append(run)
        return 0

    monkeypatch.setattr("so8t_core.commands.alone.launch", launch)
    runs = ["--runs-dir", str(tmp_path / "runs"), "train"]
    assert main([*runs, "-c", str(config), "--gpus", "3"]) == 0
    assert several.wanted_ranks(started[0], "train") == 3
    assert several.wanted_ranks(started[0], "evaluate") == 1
    assert main([*runs, "--run", started[0].name, "--gpus", "1"]) == 0
    assert several.wanted_ranks(started[0], "train") == 1
    assert read_control(started[0].control).desired == "running"
    for odd in ("0", "65"):
        assert main([*runs, "-c", str(config), "--gpus", odd]) == 2
        assert main([*runs, "--run", started[0].name, "--gpus", odd]) == 2
    main([*runs, "--run", started[0].name, "--gpus", "2", "--estimate"])
    assert several.wanted_ranks(started[0], "train") == 1  # an estimate changes nothing


def test_a_run_that_an_engine_holds_keeps_its_pause(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so8t_core.commands.alone.launch", lambda *_, **__: 0)
    runs = ["--runs-dir", str(tmp_path / "runs"), "train"]
    assert main([*runs, "-c", str(config)]) == 0
    (run,) = list_runs(tmp_path / "runs")
    with ControlStore(run.control) as store:
        store.amend(lambda c: replace(c, desired="paused", mode="hard"), who="test")
    held = Liveness(alive=True, pid=1, heartbeat_age_s=0.1)
    monkeypatch.setattr("so8t_core.commands.steer.engine_liveness", lambda _: held)
    assert main([*runs, "--run", run.name]) == EXIT_BUSY
    assert read_control(run.control).desired == "paused"

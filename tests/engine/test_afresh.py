from __future__ import annotations

from pathlib import Path

import pytest

from so8t_core.cli import build_parser
from so8t_core.commands import alone
from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import RunBusy
from so8t_core.contract.lock import EngineLock
from so8t_core.contract.phases import SPEC
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run
from so8t_core.contract.watch import Watch
from so8t_core.engine.afresh import set_aside
from so8t_core.engine.plan import prepare_folder


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path, load_settings(None, ["name=again"]))


def begun(run: RunDir, content: str) -> Path:
    checkpoint = run.phase("train") / "checkpoints" / "step-00000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_text(content)
    return checkpoint


def test_work_is_set_aside_as_often_as_asked_and_never_overwritten(run: RunDir) -> None:
    assert set_aside(run, "train") is None
    for number in (1, 2):
        begun(run, f"training {number}")
        aside = set_aside(run, "train")
        assert aside == run.root / f"train.older-{number}"
        assert not run.phase("train").exists()
    kept = [path.read_text() for path in sorted(run.root.glob("train.older-*/*/*/weights"))]
    assert kept == ["training 1", "training 2"]
    watch = Watch(run)
    view = watch.catch_up().phases["train"]
    watch.close()
    assert view.state == "pending"
    assert "train.older-2" in view.reason


def test_nothing_is_moved_under_a_living_engine(run: RunDir) -> None:
    import subprocess
    import sys

    begun(run, "at work")
    lock = EngineLock(run)
    lock.acquire()
    try:
        # the lock is a process's own, so another process has to ask
        asking = (
            "from pathlib import Path; from so8t_core.contract.rundir import RunDir;"
            "from so8t_core.engine.afresh import set_aside;"
            f"set_aside(RunDir(Path({str(run.root)!r})), 'train')"
        )
        done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True)
    finally:
        lock.release()
    assert RunBusy.__name__ in done.stderr
    assert run.phase("train").is_dir()


def test_training_begun_on_another_basis_is_never_removed(run: RunDir) -> None:
    settings = load_settings(None, ["train.max_steps=5"])
    assert not prepare_folder(run, settings, SPEC["train"])
    checkpoint = begun(run, "a day of work")
    assert not prepare_folder(run, load_settings(None, ["train.max_steps=6"]), SPEC["train"])
    assert (checkpoint / "weights").read_text() == "a day of work"


def test_the_command_sets_aside_before_it_starts(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    monkeypatch.setattr(alone, "phase", lambda a: seen.append(run.phase("train").exists()) or 0)
    begun(run, "older")
    line = ["--runs-dir", str(run.root.parent), "train", "--run", run.name, "--force-new-run"]
    arguments = build_parser().parse_args(line)
    assert arguments.action(arguments) == 0
    assert seen == [False]
    assert "train.older-1" in capsys.readouterr().out

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from so8t_core.contract.config import load_settings
from so8t_core.contract.control import Control, ControlStore
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run
from so8t_core.contract.state import RunState
from so8t_core.contract.watch import Seen, Watch

ROOT = Path(__file__).parents[2]
DOUBLES = Path(__file__).parent / "doubles"
PATIENCE_S = 60.0


class Trial:
    """A run on the counting phases, with an engine in a process of its own."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.engines: list[subprocess.Popen[str]] = []

    def start(self, *only: str) -> subprocess.Popen[str]:
        engine = subprocess.Popen(
            [sys.executable, str(DOUBLES / "fake_engine.py"), str(self.run.root), *only],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": f"{DOUBLES}{os.pathsep}{ROOT}"},
        )
        self.engines.append(engine)
        return engine

    def finish(self, *only: str) -> tuple[int, str]:
        engine = self.start(*only)
        output, _ = engine.communicate(timeout=PATIENCE_S)
        return engine.returncode, output

    def want(self, **changes: object) -> None:
        self.amend(lambda control: replace(control, **changes))

    def amend(self, change: Callable[[Control], Control]) -> None:
        with ControlStore(self.run.control) as store:
            store.amend(change, who="the test")

    def wish(self, phase: str, wish: str) -> None:
        folder = self.run.root / "wishes"
        folder.mkdir(exist_ok=True)
        (folder / phase).write_text(wish)

    def state(self) -> RunState:
        return self.seen().state

    def seen(self) -> Seen:
        watch = Watch(self.run)
        watch.catch_up()
        seen = watch.seen()
        watch.close()
        return seen

    def await_state(self, holds: Callable[[RunState], bool]) -> RunState:
        end = time.monotonic() + PATIENCE_S
        watch = Watch(self.run)
        try:
            while time.monotonic() < end:
                if holds(watch.catch_up()):
                    return watch.state
                time.sleep(0.01)
        finally:
            watch.close()
        raise AssertionError(f"not reached; the state is {watch.state}")

    def close(self) -> None:
        for engine in self.engines:
            if engine.poll() is None:
                os.killpg(engine.pid, signal.SIGKILL)
            engine.communicate(timeout=PATIENCE_S)


@pytest.fixture
def new_trial(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    trials: list[Trial] = []

    def make(*overrides: str) -> Trial:
        quiet = ["engine.retry_delay_s=0.05", "engine.min_free_disk_gb=0", "notify.sound=false"]
        settings = load_settings(None, [*quiet, *overrides])
        trials.append(Trial(create_run(tmp_path / f"runs{len(trials)}", settings)))
        return trials[-1]

    yield make
    for trial in trials:
        trial.close()

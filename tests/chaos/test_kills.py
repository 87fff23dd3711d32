"""Killed at seeded random moments in all phases, resumed each time: the same result to the bit."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from harness import (
    CLI,
    Kill,
    check_journal,
    fingerprint,
    finish,
    pages_of,
    resume,
    schedule,
    start_demo,
    state_of,
    strike,
)

from so8t_core.contract.lock import engine_liveness
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.rundir import RunDir

pytestmark = pytest.mark.xdist_group("chaos")


def durations_of(run: RunDir) -> dict[PhaseName, float]:
    return {name: Manifest.read(run.phase(name)).active_s for name in PHASE_NAMES}


def suffer(runs_dir: Path, kills: list[Kill]) -> tuple[RunDir, int]:
    run = start_demo(runs_dir)
    struck = 0
    for kill in kills:
        struck += strike(run, kill)
        if not engine_liveness(run).alive:
            resume(run)
    finish(run)
    return run, struck


def assert_same(run: RunDir, undisturbed: RunDir) -> None:
    check_journal(run)
    pages = pages_of(run)
    assert len({url for url, _ in pages}) == len(pages)
    assert fingerprint(run) == fingerprint(undisturbed)


def test_a_few_kills_change_nothing(tmp_path: Path, undisturbed: RunDir):
    kills = [
        Kill("crawl", 0.7, "all"),
        Kill("cleanse", 0.5, "engine"),
        Kill("train", 0.0, "worker", share=0.5),
        Kill("export", 0.0, "all", share=0.0),
    ]
    run, struck = suffer(tmp_path, kills)
    assert struck >= 3
    assert_same(run, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("seed", [20261122])
def test_twenty_kills_across_all_phases_change_nothing(
    tmp_path: Path, undisturbed: RunDir, seed: int
):
    kills = schedule(seed, 26, durations_of(undisturbed))
    run, struck = suffer(tmp_path, kills)
    print(f"{struck} of {len(kills)} kills struck")
    assert struck >= 20
    assert_same(run, undisturbed)


def test_the_report_and_the_status_agree_with_the_manifests(undisturbed: RunDir):
    state = state_of(undisturbed)
    for name in PHASE_NAMES:
        manifest = Manifest.read(undisturbed.phase(name))
        view = state.phases[name]
        assert view.state == "done"
        assert (view.figures, view.digest) == (manifest.figures, manifest.digest)


@pytest.mark.long
def test_a_killed_interface_changes_nothing(tmp_path: Path, undisturbed: RunDir):
    run = start_demo(tmp_path)
    primary, secondary = pty.openpty()
    interface = subprocess.Popen(
        [*CLI, "--runs-dir", str(tmp_path), "--run", run.name],
        stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(secondary)
    painted = threading.Event()
    reader = threading.Thread(target=_drain, args=(primary, painted), daemon=True)
    reader.start()
    assert painted.wait(60), "the interface painted nothing"
    os.killpg(interface.pid, signal.SIGKILL)
    interface.wait()
    assert engine_liveness(run).alive
    finish(run)
    starts = [view.attempt for view in state_of(run).phases.values()]
    assert starts == [1] * len(PHASE_NAMES)
    assert_same(run, undisturbed)


def _drain(descriptor: int, painted: threading.Event) -> None:
    seen = b""
    while True:
        try:
            seen += os.read(descriptor, 65536)
        except OSError:
            return
        if len(seen) > 2000:
            painted.set()

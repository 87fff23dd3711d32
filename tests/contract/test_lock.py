"""One engine a run; a watcher can see who holds it without touching the lock."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from so8t_core.contract.errors import RunBusy
from so8t_core.contract.lock import EngineLock, engine_liveness
from so8t_core.contract.rundir import RunDir

HOLD = (
    "import sys, subprocess; from pathlib import Path\n"
    "from so8t_core.contract.lock import EngineLock; from so8t_core.contract.rundir import RunDir\n"
    "EngineLock(RunDir(Path(sys.argv[1]))).acquire()\n"
    "child = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
    "print(child.pid, flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def test_a_held_lock_names_its_holder_and_a_child_does_not_keep_it(run: RunDir):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        assert engine_liveness(run).pid == holder.pid
        with pytest.raises(RunBusy, match=str(holder.pid)):
            EngineLock(run).acquire()
        assert engine_liveness(run).alive
        holder.kill()
        holder.communicate()
        assert not engine_liveness(run).alive
        lock = EngineLock(run)
        lock.acquire()
        lock.release()
    finally:
        subprocess.run(["kill", "-9", str(child)], check=True)


def test_a_run_without_a_lock_file_has_no_engine(run: RunDir):
    assert not engine_liveness(run).alive
    assert engine_liveness(run).heartbeat_age_s is None


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_lock_that_cannot_be_written_is_still_looked_at(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, number: int
):
    run.lock.touch()
    really_open = os.open

    def refusing(path: Path, flags: int, *rest: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(number, "refused")
        return really_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", refusing)
    assert not engine_liveness(run).alive


def test_where_a_lock_may_not_be_looked_at_the_heartbeat_decides(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
):
    def refusing(*_: object) -> int:
        raise PermissionError(errno.EACCES, "refused")

    run.heartbeat.touch()
    monkeypatch.setattr(os, "open", refusing)
    assert engine_liveness(run).alive
    os.utime(run.heartbeat, (1, 1))
    assert not engine_liveness(run).alive

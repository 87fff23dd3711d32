"""Killed at any moment, also while its files change: what was confirmed is there, nothing is damaged."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from so8t_core.serve.audit_verify import Verdict, log_files
from tests.serve.audits import audit_settings, keys_of, verify


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.long)])
def test_a_log_whose_server_is_killed_is_never_damaged(tmp_path: Path, kills: int):
    settings = audit_settings(tmp_path, rotate_bytes=6000, checkpoint_every=3)
    keys_of(settings)
    chance = random.Random(5)
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.serve.audit_writer", str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(chance.random() * 0.15)
        writer.kill()
        confirmed = [int(line) for line in [first, *writer.stdout] if line.endswith("\n")]
        writer.stdout.close()
        writer.wait()
        state = verify(settings)
        assert state.verdict is Verdict.INTACT, state.fault
        assert state.link.seq >= confirmed[-1]
        assert verify(settings, with_secret=False).fault is None
    assert len(log_files(settings.folder)) > kills

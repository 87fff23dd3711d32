from __future__ import annotations

from pathlib import Path

import pytest
from harness import finish, start_demo

from so8t_core.contract.rundir import RunDir


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The tiny demo, run once without any disturbance."""
    folder: Path = tmp_path_factory.mktemp("undisturbed")
    run = start_demo(folder)
    finish(run)
    return run

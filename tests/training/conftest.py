from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.phases.base import Outcome
from tests.training.trial import context, make_model, make_run, train


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tokenizer(model: Path) -> Any:
    from so8t_core.model.loading import load_tokenizer

    return load_tokenizer(model)


@pytest.fixture
def new_run(tmp_path: Path, model: Path) -> Callable[[str], Path]:
    return lambda name: make_run(tmp_path / name, model)


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, Outcome, Any]:
    """Run, outcome and context of a training from start to end without a break."""
    root = make_run(tmp_path_factory.mktemp("straight") / "run", model)
    torch.set_num_threads(1)
    ctx = context(root)
    return root, train(ctx), ctx

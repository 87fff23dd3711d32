from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.trial import make_model, make_run


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

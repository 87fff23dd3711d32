"""Models that are made once for all tests of the server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.integrate import integrate
from tests.serve.trained import train_tiny


@pytest.fixture(scope="session")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that thinks in four parts and answers the questions that it knows by heart."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = train_tiny(tmp_path_factory.mktemp("thinker") / "model")
    torch.set_num_threads(before)
    return folder


@pytest.fixture(scope="session")
def gated_thinker(thinker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated-thinker") / "model"
    integrate(thinker, folder, ModelSettings(base=str(thinker)))
    return folder


@pytest.fixture(scope="session")
def gguf_thinker(thinker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from so8t_core.export.gguf import GgufSource, write_gguf

    path = tmp_path_factory.mktemp("gguf-thinker") / "model-F32.gguf"
    write_gguf(GgufSource.of(thinker), path, type_="F32", name="thinker", provenance={})
    return path

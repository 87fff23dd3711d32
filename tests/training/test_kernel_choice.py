from __future__ import annotations

from pathlib import Path

import pytest
import torch

from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training import kernels
from so8t_core.training.kernels import Kernels, settle_kernels

CPU = torch.device("cpu")


def settled(path: Path, **settings: object) -> Kernels:
    asked = TrainSettings.model_validate(settings)
    return settle_kernels(path, asked, CPU, torch.float32)


def test_what_auto_means_is_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kernels.json"
    first = settled(path)
    assert first == Kernels(liger=False, fused=False, ends=False)
    # a package or a GPU that comes later changes nothing
    monkeypatch.setattr(kernels, "fused_wanted", lambda *_: True)
    monkeypatch.setattr(kernels, "liger_wanted", lambda *_: True)
    assert settled(path) == first
    path.unlink()
    assert settled(path) == Kernels(liger=True, fused=True, ends=False)


def test_settings_are_left_nothing_to_choose() -> None:
    applied = Kernels(liger=False, fused=True, ends=True).applied(TrainSettings())
    assert (applied.liger, applied.fused, applied.packed_attention) == ("off", "on", "ends")


def test_kernels_that_are_gone_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    path.write_text('{"liger": true, "fused": true, "ends": false}')
    with pytest.raises(ResourceError, match="began with Liger's kernels"):
        settled(path)
    path.write_text('{"liger": 1}')
    with pytest.raises(CheckpointError, match="cannot be read"):
        settled(path)

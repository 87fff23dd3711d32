from __future__ import annotations

from pathlib import Path

import yaml

from so8t_core.contract.settings.train import TrainSettings

FILE = Path(__file__).parents[2] / "configs" / "train_so8t_phi3_qlora.yaml"


def test_the_training_file_names_every_setting_with_its_default() -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert list(content) == list(TrainSettings.model_fields)
    assert TrainSettings.model_validate(content) == TrainSettings()

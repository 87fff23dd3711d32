"""Every YAML file that is shipped can be read by the program that it is for."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from so8t_core.contract.config import INCLUDABLE, load_settings
from so8t_core.contract.settings import Settings

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(
    path for path in CONFIGS.rglob("*.yaml") if path.relative_to(CONFIGS).parts[0] != "evaluation"
)
SOURCES = {path for path in FILES if path.parent.name == "sources"}
PARTS = {path for path in FILES if path.name.partition("_")[0] in INCLUDABLE} | SOURCES
COMMENTED = [
    path
    for path in FILES
    if path.name.startswith(("automated", "train")) or path.parent.name in ("profiles", "sources")
]


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(CONFIGS).as_posix() for path in paths]


PIPELINES = [path for path in FILES if path not in PARTS]
SECTIONS = sorted(PARTS)


@pytest.mark.parametrize("path", PIPELINES, ids=names(PIPELINES))
def test_a_pipeline_file_loads(path: Path) -> None:
    assert load_settings(path).seed >= 0


@pytest.mark.parametrize("path", SECTIONS, ids=names(SECTIONS))
def test_a_section_file_loads(path: Path) -> None:
    section = "crawl" if path in SOURCES else path.name.partition("_")[0]
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert getattr(Settings.model_validate({section: content}), section)


@pytest.mark.parametrize("path", COMMENTED, ids=names(COMMENTED))
def test_each_line_of_it_is_commented(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if line.strip() and "#" not in line]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_paths_in_it_are_portable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?m)^[^#]*[:\s-]\s*(?:[A-Za-z]:[\\/]|/\w|~)\S*", text) == []


def test_the_seeds_training_values_are_the_pipelines() -> None:
    train = load_settings(CONFIGS / "automated_so8t_pipeline.yaml").train
    assert (train.lora_rank, train.lora_alpha, train.lora_dropout) == (64, 128, 0.05)
    assert (train.learning_rate, train.schedule, train.warmup_fraction) == (2e-4, "cosine", 0.1)
    assert (train.micro_batch_size, train.accumulation_steps) == (1, 16)
    assert (train.max_length_tokens, train.save_every_steps) == (2048, 500)
    assert (train.keep_checkpoints, train.optimizer) == (5, "adamw_8bit")
    assert (train.orthogonality_weight, train.base_storage) == (0.01, "int8")

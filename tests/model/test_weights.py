from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.model.weight_writer import write_index, write_shard
from so8t_core.model.weights import ModelFolder, TensorEntry, dtype_code


def stored(values: dict[str, torch.Tensor], file: str) -> list[TensorEntry]:
    return [
        TensorEntry(name, tuple(value.shape), dtype_code(value.dtype), file)
        for name, value in values.items()
    ]


VALUES = {
    "a": torch.arange(6.0).reshape(2, 3),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "empty": torch.zeros(0, 4),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "strided": torch.arange(6.0, dtype=torch.float16).reshape(2, 3).mT,
}


def test_a_written_shard_is_read_back_by_the_safetensors_library(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_shard(path, stored(VALUES, path.name), iter(VALUES.values()))
    loaded = load_file(path)
    assert set(loaded) == set(VALUES)
    for name, value in VALUES.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)


def test_a_tensor_that_is_not_what_its_entry_says_is_refused(tmp_path: Path) -> None:
    entries = stored({"a": torch.zeros(3)}, "x")
    with pytest.raises(ValueError, match="a: "):
        write_shard(tmp_path / "x", entries, [torch.zeros(4)])
    with pytest.raises(ValueError, match="shorter"):
        write_shard(tmp_path / "x", entries, [])


def two_shards(folder: Path) -> ModelFolder:
    entries = []
    for number in (1, 2):
        file = f"model-{number}.safetensors"
        values = {f"t{number}": torch.full((2,), float(number))}
        write_shard(folder / file, stored(values, file), values.values())
        entries += stored(values, file)
    write_index(folder, entries)
    (folder / "config.json").write_text("{}")
    return ModelFolder.read(folder)


def test_a_sharded_folder_is_read_through_its_index(tmp_path: Path) -> None:
    folder = two_shards(tmp_path)
    assert folder.shards == ("model-1.safetensors", "model-2.safetensors")
    assert folder.read_tensor("t2").tolist() == [2.0, 2.0]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 16


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    two_shards(tmp_path)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-2\.safetensors is missing"):
        ModelFolder.read(tmp_path)


@pytest.mark.parametrize("change", [{"t3": "model-1.safetensors"}, {"t1": None}])
def test_an_index_that_disagrees_with_its_shards_is_refused(
    tmp_path: Path, change: dict[str, str | None]
) -> None:
    two_shards(tmp_path)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] = {
        name: file for name, file in {**index["weight_map"], **change}.items() if file
    }
    index["weight_map"].setdefault("t0", "model-1.safetensors")
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match="disagree"):
        ModelFolder.read(tmp_path)


def test_an_index_cannot_name_a_file_outside_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    two_shards(tmp_path / "inside")
    path = tmp_path / "inside" / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"t1": "../model-1.safetensors"}}))
    with pytest.raises(ModelError, match="outside"):
        ModelFolder.read(tmp_path / "inside")


def test_a_folder_that_is_not_there_is_an_input_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no model folder"):
        ModelFolder.read(tmp_path / "nothing")

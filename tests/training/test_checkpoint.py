from __future__ import annotations

import errno
import json
import pickletools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.training import checkpoint
from so8t_core.training.checkpoint import (
    CheckpointStore,
    Snapshot,
    read_checkpoint,
    require_fitting,
    require_same_identity,
    write_checkpoint,
)
from so8t_core.training.checkpoint_writer import copied
from so8t_core.training.host_buffer import HostBuffer
from so8t_core.training.series import SeriesMark

IDENTITY = {"seed": 1, "train.lora_rank": 64, "base model": "abc"}


def snapshot(step: int = 5, best: int | None = None) -> Snapshot:
    torch.manual_seed(step)
    shared = torch.linspace(-1, 1, 256)
    living = Snapshot(
        step=step,
        identity=IDENTITY,
        weights={"lora": torch.randn(3, 4), "theta": torch.tensor([1e-45, -0.0, float("inf")])},
        optimizer={
            "lora": {"step": 5, "state1": torch.arange(12, dtype=torch.uint8), "qmap1": shared},
            "theta": {"step": 5, "state1": torch.randn(3), "qmap1": shared},
        },
        schedule={"rates": [0.1 + 0.2, 1e-2], "scheduler": {"last_epoch": 5}},
        trainer={"global_step": step},
        counters={"tokens": 7},
        marks={"series": SeriesMark(10, "00")},
        course={"best": {"step": best}},
    )
    return copied(living, HostBuffer(torch.device("cpu")))


def same_bits(a: Any, b: Any) -> bool:
    return bool(
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(a.view(torch.uint8), b.view(torch.uint8))
    )


def test_everything_comes_back_to_the_bit(tmp_path: Path) -> None:
    before = snapshot()
    write_checkpoint(tmp_path / "one", before)
    after = read_checkpoint(tmp_path / "one")
    for name, weight in before.weights.items():
        assert same_bits(weight, after.weights[name])
    for name, state in before.optimizer.items():
        for key, value in state.items():
            found = after.optimizer[name][key]
            assert same_bits(value, found) if key != "step" else value == found
    for field in ("step", "identity", "schedule", "trainer", "counters", "marks", "course"):
        assert getattr(after, field) == getattr(before, field)


def test_a_checkpoint_holds_safetensors_and_json_only(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "one", snapshot())
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "checkpoint.json",
        "optimizer.safetensors",
        "state.json",
        "trainer_state.json",
        "weights.safetensors",
    ]
    for name in names:
        path = tmp_path / "one" / name
        if name.endswith(".json"):
            json.loads(path.read_text())
        else:
            load_file(path)
        with pytest.raises(ValueError, match=r"."):
            list(pickletools.genops(path.read_bytes()))


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_any_damage_is_noticed(tmp_path: Path, name: str, damage: str) -> None:
    write_checkpoint(tmp_path / "one", snapshot())
    path = tmp_path / "one" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[:-3])
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "one")


def test_the_newest_intact_one_is_taken_and_the_damage_told(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=3)
    for step in (1, 2, 3):
        store.write(snapshot(step))
    (store.path(3) / "checkpoint.json").unlink()
    (store.path(2) / "weights.safetensors").write_bytes(b"")
    found, reasons = store.newest()
    assert found is not None
    assert found.step == 1
    assert [reason.partition(":")[0] for reason in reasons] == ["step-00000003", "step-00000002"]


def test_one_under_another_name_or_without_a_list_of_files_is_passed_over(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=4)
    for step in (1, 2):
        store.write(snapshot(step))
    shutil.copytree(store.path(1), store.path(7))
    index = store.path(2) / "checkpoint.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"files": []}))
    found, reasons = store.newest()
    assert found is not None
    assert found.step == 1
    assert "of step 1 under another name" in reasons[0]
    assert "step-00000002" in reasons[1]


def test_nothing_is_begun_over_checkpoints_of_which_none_can_be_used(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=3)
    for step in (1, 2):
        store.write(snapshot(step))
        (store.path(step) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="No checkpoint of the 2 can be used") as caught:
        store.newest()
    assert "step-00000002: weights.safetensors" in caught.value.what
    assert "--force-new-run" in str(caught.value.hint)


def test_one_of_another_version_is_not_passed_over(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=3)
    for step in (1, 2):
        store.write(snapshot(step))
    index = store.path(2) / "checkpoint.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "format_version": 9}))
    with pytest.raises(CheckpointError, match="format 9") as caught:
        store.newest()
    assert "or remove this folder" in str(caught.value.hint)


def test_other_things_among_checkpoints_are_left_alone_and_order_is_by_number(
    tmp_path: Path,
) -> None:
    store = CheckpointStore(tmp_path, keep=2)
    for name in ("step-zzz", "step-00000001-copy", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000007").write_text("a file")
    for step in (99_999_999, 100_000_000):
        store.write(snapshot(step))
    assert [path.name for path in store.paths()] == ["step-100000000", "step-99999999"]
    assert len(list(tmp_path.iterdir())) == 6


def test_what_does_not_fit_the_model_is_named() -> None:
    kept = snapshot()
    weights = dict(kept.weights)
    require_fitting(kept, weights, "here")
    for odd in (torch.zeros(2), torch.zeros(3, 4, dtype=torch.float16)):
        with pytest.raises(CheckpointError, match="does not fit this training: lora"):
            require_fitting(kept, {**weights, "lora": odd}, "here")
    with pytest.raises(CheckpointError, match="does not fit this training: more"):
        require_fitting(kept, {**weights, "more": torch.zeros(1)}, "here")


def test_only_the_newest_are_kept_and_unfinished_ones_swept(tmp_path: Path) -> None:
    (tmp_path / "step-00000009.partial").mkdir()
    store = CheckpointStore(tmp_path, keep=2)
    for step in (1, 2, 3):
        store.write(snapshot(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]


def test_the_best_is_kept_besides_the_newest_until_there_is_a_better_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=2)
    for step, best in ((1, 1), (2, 1), (3, 1), (4, 1), (5, 4), (6, 4), (7, 4)):
        store.write(snapshot(step, best))
        assert store.path(best).is_dir()
    kept = [4, 6, 7]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{n:08d}" for n in kept]


def test_one_killed_just_before_its_renaming_is_not_lost(tmp_path: Path) -> None:
    """The same step written anew: the older folder is gone, the newer one not yet in its place."""
    store = CheckpointStore(tmp_path, keep=1)
    store.write(snapshot(5, best=1))
    store.path(5).rename(tmp_path / "step-00000005.partial")
    found, reasons = CheckpointStore(tmp_path, keep=1).newest()
    assert found is not None
    assert (found.step, reasons) == (5, [])
    (tmp_path / "step-00000006.partial").mkdir()
    for name in ("checkpoint.json", "state.json"):
        (tmp_path / "step-00000006.partial" / name).write_text("{}")
    assert [p.name for p in CheckpointStore(tmp_path, keep=1).paths()] == ["step-00000005"]
    assert not (tmp_path / "step-00000006.partial").exists()


def test_a_later_one_that_was_passed_over_drives_no_other_out(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    store.write(snapshot(9))
    (store.path(9) / "state.json").write_text("damaged")
    for step in (5, 6):
        store.write(snapshot(step))
        found, _ = store.newest()
        assert found is not None
        assert found.step == step
    assert not store.path(5).exists()
    store.write(snapshot(9))
    assert [path.name for path in store.paths()] == ["step-00000009"]


def test_another_training_is_refused_by_what_differs() -> None:
    now = {**IDENTITY, "train.lora_rank": 32, "base model": "xyz"}
    with pytest.raises(CheckpointError) as caught:
        require_same_identity(snapshot(), now, "here")
    message = str(caught.value)
    assert "train.lora_rank (checkpoint: 64, now: 32)" in message
    assert "base model (checkpoint: 'abc', now: 'xyz')" in message
    assert "seed" not in message


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_checkpoint(tmp_path / "one", snapshot())
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "one", snapshot())
    index = tmp_path / "one" / "checkpoint.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "format_version": 3}))
    with pytest.raises(CheckpointError, match="format 3"):
        read_checkpoint(tmp_path / "one")

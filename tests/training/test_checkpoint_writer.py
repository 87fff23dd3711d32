from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t_core.contract.errors import ResourceError
from so8t_core.phases.base import HardPause
from so8t_core.training import checkpoint
from so8t_core.training.checkpoint import CheckpointStore, Snapshot, read_checkpoint
from so8t_core.training.checkpoint_writer import CheckpointWriter, Written
from so8t_core.training.host_buffer import HostBuffer
from tests.training.trial import PlannedGate, context, said, train

CPU = torch.device("cpu")


def snapshot(step: int, weight: torch.Tensor) -> Snapshot:
    return Snapshot(
        step=step,
        identity={},
        weights={"w": weight},
        optimizer={"w": {"step": step, "state1": weight.to(torch.uint8)}},
        schedule={"rates": [float(step)]},
        trainer={},
        counters={"tokens": step},
        marks={},
        course={},
    )


class HeldStore(CheckpointStore):
    """Writes only once it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, keep=10)
        self.open = threading.Event()
        self.writing = 0
        self.most = 0

    def write(self, snapshot: Snapshot) -> tuple[Path, int]:
        self.writing += 1
        self.most = max(self.most, self.writing)
        self.open.wait()
        done = super().write(snapshot)
        self.writing -= 1
        return done


def nothing(*_: Any) -> None:
    """Neither syncs nor tells."""


def test_training_goes_on_while_a_copy_is_written_and_the_copy_does_not_change(
    tmp_path: Path,
) -> None:
    store = HeldStore(tmp_path)
    weight, told = torch.arange(5.0), list[Written]()
    with CheckpointWriter(store, CPU) as writer:
        living = snapshot(1, weight)
        writer.submit(lambda: living, nothing, told.append)
        weight.fill_(-1)
        living.schedule["rates"][0] = 99.0
        assert (store.paths(), told) == ([], [])
        writer.check()  # nothing has failed
        store.open.set()
        writer.wait()
        assert [made.step for made in told] == [1]
        found = read_checkpoint(store.path(1))
    assert torch.equal(found.weights["w"], torch.arange(5.0))
    assert found.schedule == {"rates": [1.0]}
    assert told[0].size_bytes == sum(file.stat().st_size for file in store.path(1).iterdir())
    assert told[0].stall_s >= 0


def test_one_write_at_a_time_each_with_its_own_numbers(tmp_path: Path) -> None:
    store = HeldStore(tmp_path)
    store.open.set()
    order: list[str] = []
    with CheckpointWriter(store, CPU) as writer:
        for step in range(1, 6):
            writer.submit(
                partial(snapshot, step, torch.full((1000 * step,), float(step))),
                lambda step=step: order.append(f"sync {step}"),  # type: ignore[misc]
                lambda made: order.append(f"told {made.step}"),
            )
    assert store.most == 1
    assert order == [f"{what} {step}" for step in range(1, 6) for what in ("sync", "told")]
    for step in range(1, 6):
        weights = read_checkpoint(store.path(step)).weights["w"]
        assert torch.equal(weights, torch.full((1000 * step,), float(step)))


def test_a_failed_write_is_raised_and_never_hides_what_ended_the_training(tmp_path: Path) -> None:
    class Full(CheckpointStore):
        def write(self, snapshot: Snapshot) -> tuple[Path, int]:
            raise ResourceError(f"full at {snapshot.step}")

    def submit(writer: CheckpointWriter) -> None:
        writer.submit(lambda: snapshot(1, torch.ones(1)), nothing, nothing)

    store = Full(tmp_path, 1)
    with pytest.raises(ResourceError, match="full at 1"), CheckpointWriter(store, CPU) as writer:
        submit(writer)
    with CheckpointWriter(store, CPU) as writer:
        submit(writer)
        with pytest.raises(ResourceError, match="full at 1"):
            submit(writer)
    ending = KeyError("what ended it")

    def end() -> None:
        with CheckpointWriter(store, CPU) as writer:
            submit(writer)
            raise ending

    with pytest.raises(KeyError, match="what ended it"):
        end()
    assert "full at 1" in ending.__notes__[0]


def test_copies_are_aligned_equal_to_the_bit_and_use_the_same_memory_again() -> None:
    buffer = HostBuffer(CPU)
    tensors = {
        "odd": torch.arange(13, dtype=torch.uint8),
        "strided": torch.arange(12.0).view(3, 4).T,
        "scalar": torch.tensor(float("nan")),
        "empty": torch.empty(0, 3),
        "half": torch.tensor([1e-3, -0.0], dtype=torch.bfloat16),
    }
    first = buffer.copy(tensors)
    for name, tensor in tensors.items():
        assert first[name].is_contiguous()
        assert first[name].shape == tensor.shape
        assert torch.equal(
            first[name].view(-1).view(torch.uint8),
            tensor.contiguous().view(-1).view(torch.uint8),
        )
    second = buffer.copy(tensors)
    assert {n: c.data_ptr() for n, c in first.items()} == {
        n: c.data_ptr() for n, c in second.items()
    }


def test_where_memory_cannot_be_pinned_it_says_so_and_copies_all_the_same(
    monkeypatch: Any,
) -> None:
    made, refused = torch.empty, []

    def empty(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Any:
        if pin_memory:
            refused.append(args)
            raise RuntimeError("CUDA error: out of memory\nlong advice")
        return made(*args, **kwargs)

    monkeypatch.setattr(torch, "empty", empty)
    buffer = HostBuffer(torch.device("cuda"))
    for size in (3, 300):
        buffer.reserve([torch.zeros(size)])
    assert len(refused) == 1
    assert buffer.unpinned == "CUDA error: out of memory"


def test_a_full_disk_in_the_background_ends_the_training_with_older_checkpoints_intact(
    straight: Any, new_run: Callable[[str], Path], monkeypatch: Any
) -> None:
    _, outcome, _ = straight
    root, saves = new_run("full"), []

    def fill(tensors: Any, path: Path) -> None:
        saves.append(path)
        if len(saves) == 4:  # the optimiser of the second checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        kept(tensors, path)

    kept = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", fill)
    ctx = context(root)
    with pytest.raises(ResourceError, match="disk is full"):
        train(ctx)
    assert [event["step"] for event in said(ctx, "checkpoint")] == [2]
    assert [path.name for path in (root / "train" / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.setattr(checkpoint, "save_file", kept)
    again = context(root)
    assert train(again).digest == outcome.digest
    assert said(again, "rewound") == [{"step": 2}]


def test_a_hard_pause_leaves_only_after_its_checkpoint_is_durable_and_told(
    new_run: Callable[[str], Path],
) -> None:
    ctx = context(new_run("paused"), PlannedGate(pause_at=12), save_every_steps=100)
    with pytest.raises(HardPause):
        train(ctx)
    (told,) = said(ctx, "checkpoint")
    assert told["reason"] == "pause"
    assert read_checkpoint(ctx.run.root / told["path"]).step == told["step"] > 0

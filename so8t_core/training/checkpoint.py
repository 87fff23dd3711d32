"""Training checkpoints: safetensors and JSON in a folder with a hash of every file.

    step-00000010/
        weights.safetensors     trained parameters by name
        optimizer.safetensors   `parameter::key` for every state tensor, uint8 ones included
        state.json              everything that is no tensor
        trainer_state.json      what transformers' Trainer reads back itself
        checkpoint.json         size and SHA-256 of the other files

There is no state of random number generators in it: each step seeds them anew from the run's seed
and its own number, so the draws of a step do not depend on how often the process was started.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.contract.files import PARTIAL_SUFFIX, replacing_folder, sha256_file, write_json
from so8t_core.contract.settings.train import STEERING
from so8t_core.training.optimizer import State
from so8t_core.training.series import SeriesMark

FORMAT_VERSION = 2
_INDEX = "checkpoint.json"
_NAME = re.compile(r"step-\d{8,}")
SEPARATOR = "::"
"""Stands between a parameter's name and the key of its optimiser state."""


@dataclass(frozen=True)
class Snapshot:
    """Training between two optimiser steps.

    `identity`: what a resume must have in common with it (settings, data, base, seed), flat.
    `schedule`: the learning rates' state. `trainer`: transformers' TrainerState. `counters`:
    totals such as tokens. `marks`: how far each series file had come. `course`: the states of what
    watches and steers the training, by name (JSON values).
    """

    step: int
    identity: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    optimizer: State
    schedule: Mapping[str, Any]
    trainer: Mapping[str, Any]
    counters: Mapping[str, int]
    marks: Mapping[str, SeriesMark]
    course: Mapping[str, Mapping[str, Any]]

    @property
    def best_step(self) -> int | None:
        """The step of the lowest held-out loss so far."""
        return self.course["best"]["step"] if "best" in self.course else None


def state_tensors(optimizer: State) -> dict[str, Tensor]:
    """The tensors of an optimiser's state by `parameter::key`."""
    return {
        f"{name}{SEPARATOR}{key}": value
        for name, state in optimizer.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def write_checkpoint(folder: Path, snapshot: Snapshot) -> int:
    """Write it whole or not at all; gives its size in bytes. No two tensors may overlap in memory.

    Raises `ResourceError` when the disk is full; nothing is left behind then.
    """
    numbers = {
        name: {key: value for key, value in state.items() if not isinstance(value, Tensor)}
        for name, state in snapshot.optimizer.items()
    }
    state = {
        "step": snapshot.step,
        "identity": dict(snapshot.identity),
        "optimizer": numbers,
        "schedule": dict(snapshot.schedule),
        "counters": dict(snapshot.counters),
        "marks": {name: asdict(mark) for name, mark in snapshot.marks.items()},
        "course": {name: dict(state) for name, state in snapshot.course.items()},
    }
    try:
        with replacing_folder(folder) as partial:
            save_file(dict(snapshot.weights), partial / "weights.safetensors")
            save_file(state_tensors(snapshot.optimizer), partial / "optimizer.safetensors")
            write_json(partial / "state.json", state)
            write_json(partial / "trainer_state.json", dict(snapshot.trainer))
            files = {
                path.name: {"size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
                for path in sorted(partial.iterdir())
            }
            write_json(partial / _INDEX, {"format_version": FORMAT_VERSION, "files": files})
    except (OSError, SafetensorError) as error:
        if not is_full_disk(error):
            raise
        raise ResourceError(
            "The disk is full; the checkpoint was not written.",
            where=str(folder),
            hint="Free some space and resume; the last checkpoint is untouched.",
        ) from error
    return sum(path.stat().st_size for path in folder.iterdir())


def is_full_disk(error: OSError | SafetensorError) -> bool:
    """Whether that is why something could not be written."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left" in str(error)


def read_checkpoint(folder: Path) -> Snapshot:
    """Read and verify a checkpoint. Raises `CheckpointError` when any byte was changed."""
    if not folder.is_dir():
        raise CheckpointError(
            "The checkpoint is not there.",
            where=str(folder),
            hint="Bring it back; else an older one is taken where there is one.",
        )
    try:
        _verify(folder)
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        trainer = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "weights.safetensors")
        optimizer: State = state["optimizer"]
        for name, tensor in load_file(folder / "optimizer.safetensors").items():
            parameter, _, key = name.rpartition(SEPARATOR)
            optimizer[parameter][key] = tensor
        return Snapshot(
            step=state["step"],
            identity=state["identity"],
            weights=weights,
            optimizer=optimizer,
            schedule=state["schedule"],
            trainer=trainer,
            counters=state["counters"],
            marks={name: SeriesMark(**mark) for name, mark in state["marks"].items()},
            course=state["course"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"The checkpoint cannot be read: {error}.",
            where=str(folder),
            hint="An older one is taken where there is one.",
        ) from error


def _verify(folder: Path) -> None:
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    if index["format_version"] != FORMAT_VERSION:
        raise OtherFormat(
            f"The checkpoint has format {index['format_version']}, this version reads "
            f"{FORMAT_VERSION}.",
            where=str(folder),
            hint="Resume with the version of so8t that wrote it, or remove this folder to go on "
            "from an older checkpoint.",
        )
    if not isinstance(index["files"], dict):
        raise ValueError("its list of files is none")
    for name, record in index["files"].items():
        path = folder / name
        if path.stat().st_size != record["size_bytes"] or sha256_file(path) != record["sha256"]:
            raise CheckpointError(
                f"{name} of the checkpoint was changed or is incomplete.",
                where=str(folder),
                hint="An older one is taken where there is one.",
            )


class OtherFormat(CheckpointError):
    """Written by another version: it may be intact, and is not to be passed over unseen."""


def _is_whole(folder: Path) -> bool:
    try:
        _verify(folder)
    except (OSError, ValueError, KeyError, TypeError, CheckpointError):
        return False
    return True


def require_fitting(snapshot: Snapshot, weights: Mapping[str, Tensor], where: str) -> None:
    """Raise `CheckpointError` unless it holds the trained weights, of their shapes and dtypes."""
    for name, weight in weights.items():
        kept = snapshot.weights.get(name)
        if kept is None or kept.shape != weight.shape or kept.dtype != weight.dtype:
            raise not_fitting(name, where)


def not_fitting(name: str, where: str) -> CheckpointError:
    """That what a checkpoint holds under a name is missing or of another shape or dtype."""
    return CheckpointError(
        f"The checkpoint does not fit this training: {name}.",
        where=where,
        hint="Resume with the versions of so8t, peft and bitsandbytes that wrote it, or start "
        "afresh with `so8t train --run RUN --force-new-run`.",
    )


def require_same_identity(snapshot: Snapshot, identity: Mapping[str, Any], where: str) -> None:
    """Raise `CheckpointError` naming everything in which a resume would differ.

    Older checkpoints hold what steers as well, which may be changed on the way.
    """
    steering = {f"train.{name}" for name in STEERING}
    kept = {name: value for name, value in snapshot.identity.items() if name not in steering}
    differing = [
        f"{name} (checkpoint: {kept.get(name)!r}, now: {identity.get(name)!r})"
        for name in sorted(kept.keys() | identity.keys())
        if kept.get(name) != identity.get(name)
    ]
    if differing:
        raise CheckpointError(
            f"The checkpoint belongs to another training. It differs in {'; '.join(differing)}.",
            where=where,
            hint="Restore what differs, or start afresh with `so8t train --run RUN "
            "--force-new-run`, which keeps the older training aside.",
        )


def _require_own_name(snapshot: Snapshot, path: Path) -> None:
    if _step_of(path) != snapshot.step:
        raise CheckpointError(
            f"The checkpoint is one of step {snapshot.step} under another name.",
            where=str(path),
            hint="Give the folder its own name back.",
        )


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


class CheckpointStore:
    """The checkpoints of a run, the newest `keep` of them and the best.

    `owned`: what was left unfinished is removed; not where another process may be writing.
    """

    def __init__(self, folder: Path, keep: int, *, owned: bool = True) -> None:
        self.folder = folder
        self.keep = keep
        if not owned:
            return
        for unfinished in folder.glob(f"step-*{PARTIAL_SUFFIX}"):
            place = unfinished.with_name(unfinished.name.removesuffix(PARTIAL_SUFFIX))
            if not place.exists() and _is_whole(unfinished):  # killed just before its last step
                os.replace(unfinished, place)
            else:
                shutil.rmtree(unfinished)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"step-{step:08d}"

    def paths(self) -> list[Path]:
        """Whole checkpoints, newest first; other things in the folder are left alone."""
        found = [path for path in self.folder.glob("step-*") if _NAME.fullmatch(path.name)]
        return sorted(filter(Path.is_dir, found), key=_step_of, reverse=True)

    def write(self, snapshot: Snapshot) -> tuple[Path, int]:
        """Write a checkpoint, then remove what need not be kept; gives path and size.

        Later ones, which a resume has passed over, count for nothing and stay.
        """
        path = self.path(snapshot.step)
        size_bytes = write_checkpoint(path, snapshot)
        best = None if snapshot.best_step is None else self.path(snapshot.best_step)
        until_now = [kept for kept in self.paths() if _step_of(kept) <= snapshot.step]
        for old in until_now[self.keep :]:
            if old == best:
                continue
            leaving = old.with_name(old.name + PARTIAL_SUFFIX)
            os.replace(old, leaving)
            shutil.rmtree(leaving)
        return path, size_bytes

    def told_identity(self) -> Mapping[str, Any] | None:
        """What the newest checkpoint says that it was made with; nothing is verified yet.

        None where there is no checkpoint, or none that can be read.
        """
        for path in self.paths():
            try:
                identity = json.loads((path / "state.json").read_text(encoding="utf-8"))["identity"]
            except (OSError, ValueError, KeyError, TypeError):
                continue  # `newest` says why
            if isinstance(identity, dict):
                return identity
        return None

    def read(self, step: int, identity: Mapping[str, Any]) -> Snapshot:
        """The checkpoint of a step. Raises `CheckpointError` where it is not whole or not ours."""
        path = self.path(step)
        snapshot = read_checkpoint(path)
        _require_own_name(snapshot, path)
        require_same_identity(snapshot, identity, str(path))
        return snapshot

    def newest(self) -> tuple[Snapshot | None, list[str]]:
        """The newest checkpoint that is intact, and why newer ones were passed over.

        Raises `CheckpointError` where there are some and none can be used, or one was written by
        another version: nothing is begun over them.
        """
        reasons: list[str] = []
        for path in self.paths():
            try:
                snapshot = read_checkpoint(path)
                _require_own_name(snapshot, path)
            except OtherFormat:
                raise
            except CheckpointError as error:
                reasons.append(f"{path.name}: {error.what}")
                continue
            return snapshot, reasons
        if reasons:
            raise CheckpointError(
                f"No checkpoint of the {len(reasons)} can be used. {reasons[0]}",
                where=str(self.folder),
                hint="Bring back what was changed or lost, or start afresh with `so8t train "
                "--run RUN --force-new-run`, which keeps the older training aside.",
            )
        return None, reasons

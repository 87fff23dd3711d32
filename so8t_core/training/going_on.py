"""Where a training goes on from: its history, the newest checkpoint that is intact, its series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import PhaseContext
from so8t_core.training.checkpoint import (
    CheckpointStore,
    Snapshot,
    read_checkpoint,
    require_same_identity,
)
from so8t_core.training.history import HistoryFile, LostCurve
from so8t_core.training.ranks import Ranks
from so8t_core.training.series import START, SeriesFile
from so8t_core.training.steering import changed_steering
from so8t_core.training.surroundings import Surroundings
from so8t_core.training.trackers import Trackers


def _own_folder(ctx: PhaseContext, ranks: Ranks) -> Path:
    """Where this rank keeps its history and series; those of the first one are the training's."""
    return ctx.folder if ranks.first else ctx.folder / "ranks" / str(ranks.number)


def history_of(ctx: PhaseContext, ranks: Ranks) -> HistoryFile:
    """The history of this rank; a damaged one begins anew, which is told."""
    history = HistoryFile(_own_folder(ctx, ranks) / "history.json")
    if history.damage is not None:
        ctx.emit.fallback(
            "a new history of the training; counts of earlier starts and checkpoints are lost",
            history.damage,
        )
    return history


def threads_before(ctx: PhaseContext) -> int:
    """The threads that the newest checkpoint was computed with, else this machine's own choice."""
    snapshot, _ = checkpoint_store(ctx).newest()
    before = snapshot.identity.get("train.threads") if snapshot is not None else None
    return before if isinstance(before, int) else torch.get_num_threads()


def checkpoint_store(ctx: PhaseContext, *, owned: bool = True) -> CheckpointStore:
    """The training's checkpoints; `owned`: see `CheckpointStore`."""
    keep = ctx.settings.train.keep_checkpoints
    return CheckpointStore(ctx.folder / "checkpoints", keep, owned=owned)


def surroundings_of(ctx: PhaseContext, history: HistoryFile, ranks: Ranks) -> Surroundings:
    """What this rank's trainer writes to and asks."""
    own, asked = _own_folder(ctx, ranks), ctx.settings.train
    return Surroundings(
        emit=ctx.emit,
        pause=ctx.pause,
        store=checkpoint_store(ctx, owned=ranks.first),
        series=SeriesFile(own / "series.jsonl"),
        evaluations=SeriesFile(own / "evaluations.jsonl"),
        history=history,
        trackers=Trackers(
            own, asked.trackers if ranks.first else (), asked.tracker_project, ctx.emit
        ),
        ranks=ranks,
        run_root=ctx.run.root,
        live=ctx.live,
    )


def shared_snapshot(
    around: Surroundings, identity: Mapping[str, Any], settings: TrainSettings
) -> Snapshot | None:
    """The checkpoint that the first rank finds, on every rank."""
    ranks = around.ranks
    if ranks.first:
        snapshot = _find_snapshot(around, identity)
        _tell_changes(around, snapshot, settings)
        ranks.agree(snapshot.step if snapshot else None)
        return snapshot
    step: int | None = ranks.agree(None)
    return None if step is None else read_checkpoint(around.store.path(step))


def _find_snapshot(around: Surroundings, identity: Mapping[str, Any]) -> Snapshot | None:
    """The checkpoint to go on from; damaged newer ones are passed over and said."""
    snapshot, rejected = around.store.newest()
    for reason in rejected:
        around.emit.fallback("an older checkpoint", reason)
    if rejected:
        known = around.history.now.rejected_checkpoints
        around.history.change(
            rejected_checkpoints=known + tuple(one for one in rejected if one not in known)
        )
    if snapshot is not None:
        where = str(around.store.path(snapshot.step))
        require_same_identity(snapshot, identity, where)
    elif around.history.now.checkpoints_written:
        _tell_none_left(around)
    return snapshot


def _tell_none_left(around: Surroundings) -> None:
    """That checkpoints had been written and none is there; nothing else would tell."""
    written = around.history.now.checkpoints_written
    around.history.change(lost_checkpoints=written)
    around.emit.log(
        "warning",
        f"{written} checkpoints of this training had been written, and none is left in "
        f"{around.store.folder}: it begins again at step 0. If they were moved, stop it and bring "
        "them back.",
    )


def _tell_changes(around: Surroundings, snapshot: Snapshot | None, settings: TrainSettings) -> None:
    """Note which settings steer otherwise from the checkpoint on; a new one is told."""
    known = around.history.now.changed_settings
    changes = changed_steering(known, snapshot, settings)
    for change in changes:
        if change not in known:
            around.emit.log("info", f"A setting changed: {change.told()}.")
    around.history.change(changed_settings=changes)


def start_from(around: Surroundings, snapshot: Snapshot | None, threads: int) -> None:
    """Cut the series back to where training goes on, and say so if it is not the first start."""
    # the series of other ranks than the first are no part of a checkpoint
    known = snapshot is not None and around.ranks.first
    marks = snapshot.marks if snapshot and known else {"series": START, "evaluations": START}
    for name, series in (("series", around.series), ("evaluations", around.evaluations)):
        if series.holds(marks[name]):
            series.rewind(marks[name])
        else:
            assert snapshot is not None  # every series holds its start
            _begin_anew(around, series, snapshot.step)
    if around.history.now.starts or snapshot is not None:
        around.emit.rewound(snapshot.step if snapshot else 0)
    around.history.change(starts=around.history.now.starts + 1, threads=threads)


def _begin_anew(around: Surroundings, series: SeriesFile, step: int) -> None:
    """Give up a curve that is not what the checkpoint knew; the training itself needs none."""
    series.begin_anew()
    around.emit.fallback(
        f"{series.path.name} begins anew after step {step}",
        "its part before that was changed or lost; what was left, if anything, is kept beside it",
    )
    lost = LostCurve(series.path.name, step)
    known = around.history.now.lost_curves
    around.history.change(lost_curves=known if lost in known else (*known, lost))

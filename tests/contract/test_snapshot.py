"""A folded copy of the journal gives what folding gives, and is ignored where it might not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.series import LIMIT
from so8t_core.contract.snapshot import read_snapshot, save_snapshot
from so8t_core.contract.state import RunState
from so8t_core.contract.watch import Watch


def story(count: int, seed: int = 8) -> list[Draft]:
    """Events of every kind that carries much."""
    chance = random.Random(seed)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("metrics", {"points": [["loss", 0, 1.5], ["rate", 0, float("inf")]]}),
        ("progress", {"done": 3, "total": None, "unit": "頁", "message": "m"}),
        ("stats", {"values": {"hosts": {"a": "waits"}, "n": 3}}),
        ("item", {"item": "page", "text": "長い文", "status": 200}),
        ("log", {"level": "warning", "message": "行"}),
        ("fallback", {"what": "x", "why": "y"}),
        ("checkpoint", {"step": 4, "path": "c", "reason": "r", "size_bytes": 5}),
        ("paused", {"mode": "soft"}),
        ("resumed", {"who": "me"}),
        ("rewound", {"step": 2}),
    ]
    told = [
        Draft("run_created", {"settings_sha256": "0" * 64, "version": "1"}),
        Draft("engine_started", {"pid": 1, "boot_id": "b", "host": "h", "version": "1"}),
        Draft("phase_started", {"attempt": 1, "pid": 2}, "train"),
    ]
    for step in range(count):
        kind, payload = chance.choice(kinds)
        if kind == "metrics":
            payload = {"points": [[name, step, chance.random()] for name in ("loss", "rate")]}
        told.append(Draft(kind, payload, "train"))
        if step % 5 == 0:
            told.append(Draft("resources", {"values": {"cpu_percent": chance.random()}}))
    return told


def run_with(root: Path, drafts: list[Draft]) -> RunDir:
    run = RunDir(root)
    run.root.mkdir()
    run.settings_file.write_text("name: x\n")
    with JournalWriter(run.journal) as journal:
        journal.append(drafts)
    return run


def seen_by(run: RunDir) -> RunState:
    watch = Watch(run)
    try:
        return watch.catch_up()
    finally:
        watch.close()


@pytest.mark.parametrize("count", [0, 7, 400])
def test_a_watcher_that_starts_from_a_copy_sees_what_one_from_the_beginning_sees(
    tmp_path: Path, count: int
) -> None:
    run = run_with(tmp_path / "run", story(count))
    save_snapshot(run, seen_by(run))
    with JournalWriter(run.journal) as journal:
        journal.append(story(60, seed=9)[3:])
    restored = Watch(run)
    assert restored.state.last_seq == len(story(count))
    state = restored.catch_up()
    restored.close()
    run.snapshot.unlink()
    assert state == seen_by(run)


def test_long_series_stay_what_they_were(tmp_path: Path) -> None:
    points = [
        Draft("metrics", {"points": [["loss", n, n / 7]]}, "train") for n in range(LIMIT + 900)
    ]
    run = run_with(tmp_path / "run", [*story(0), *points])
    before = seen_by(run)
    save_snapshot(run, before)
    assert read_snapshot(run) == before


@pytest.mark.parametrize("how", ["cut", "bytes", "empty", "list", "other fold", "a field less"])
def test_a_copy_that_cannot_be_trusted_is_not_used(tmp_path: Path, how: str) -> None:
    run = run_with(tmp_path / "run", story(50))
    whole = seen_by(run)
    save_snapshot(run, whole)
    text = run.snapshot.read_text()
    document = json.loads(text)
    if how == "other fold":
        document["fold"] = "0" * 64
    elif how == "a field less":
        del document["state"]["phases"]["train"]
    damaged = {"cut": text[:-40], "bytes": "\0" * 50, "empty": "", "list": "[]"}
    run.snapshot.write_text(damaged.get(how, json.dumps(document)))
    watch = Watch(run)
    assert watch.state == RunState()
    assert watch.catch_up() == whole
    watch.close()


def test_a_copy_of_another_journal_is_not_used(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", story(50))
    save_snapshot(run, seen_by(run))
    for path in run.root.glob("journal.db*"):
        path.unlink()
    with JournalWriter(run.journal) as journal:
        journal.append(story(20, seed=3))
    watch = Watch(run)
    assert watch.state == RunState()
    watch.close()

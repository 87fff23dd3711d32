"""A run directory is whole or not there, and one that lost its journal is still a run."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from so8t_core.contract import runs
from so8t_core.contract.config import load_settings, settings_digest
from so8t_core.contract.errors import JournalError, SettingsError, So8tError, StoreError
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run, find_run, is_run, list_runs, open_journal
from so8t_core.contract.watch import Watch, status_document


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path / "runs", load_settings(None, ["name=trial"]))


def full_database() -> sqlite3.Error:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count=1")
    try:
        connection.execute("CREATE TABLE a (b)")
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError("nothing was full")


@pytest.mark.parametrize(
    ("cause", "raised", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoreError, "the disk is full"),
        (full_database(), StoreError, "the disk is full"),
        (OSError(errno.EACCES, "Permission denied"), StoreError, "Permission denied"),
        (JournalError("The journal is odd."), StoreError, "The journal is odd"),
        (ValueError("Out of range float values"), SettingsError, "Out of range"),
    ],
)
def test_a_run_that_cannot_be_made_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cause: Exception,
    raised: type[So8tError],
    said: str,
):
    def fail(*_: object) -> None:
        raise cause

    monkeypatch.setattr(runs, "ControlStore", fail)
    with pytest.raises(raised, match=said):
        create_run(tmp_path, load_settings(None))
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_second_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs.time, "strftime", lambda _: "20260101-000000")
    made = [create_run(tmp_path, load_settings(None)) for _ in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(run.name for run in made)


@pytest.mark.parametrize("emptied", [False, True])
def test_a_run_without_a_journal_is_a_pending_run(run: RunDir, emptied: bool):
    for path in run.root.glob("journal.db*"):
        path.unlink()
    if emptied:
        run.journal.touch()
    assert find_run(run.name, run.root.parent) == run
    document = status_document(run)
    assert document["state"] == "pending"
    assert {phase["state"] for phase in document["phases"].values()} == {"pending"}


def test_a_lost_journal_begins_again_with_the_creation_of_the_run(run: RunDir):
    run.journal.unlink()
    settings = load_settings(run.settings_file)
    for _ in range(2):
        open_journal(run, settings).close()
    watch = Watch(run)
    state = watch.catch_up()
    watch.close()
    assert state.settings_sha256 == settings_digest(settings)
    assert state.last_seq == 1


def test_a_folder_without_settings_is_no_run(tmp_path: Path):
    assert not is_run(tmp_path)
    assert list_runs(tmp_path / "nowhere") == []

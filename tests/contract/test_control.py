"""The control state: level-triggered, revisioned, safe for several writers."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from so8t_core.contract.control import Control, ControlStore, read_control
from so8t_core.contract.errors import ControlConflict, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


def test_nothing_asked_means_running(path: Path):
    with ControlStore(path) as store:
        assert store.read() == Control()
        assert store.read().desired == "running"


def test_a_written_wish_is_read_back_with_who_and_when(path: Path):
    with ControlStore(path) as store:
        store.write(replace(store.read(), desired="paused", live={"crawl.delay_s": 2.0}), who="me")
    with ControlStore(path) as store:
        control = store.read()
    assert (control.revision, control.desired, control.who) == (1, "paused", "me")
    assert control.live == {"crawl.delay_s": 2.0}
    assert control.at > 0


def test_a_writer_that_saw_an_older_revision_is_refused(path: Path):
    with ControlStore(path) as one, ControlStore(path) as two:
        seen = two.read()
        one.write(replace(one.read(), desired="paused"))
        with pytest.raises(ControlConflict):
            two.write(replace(seen, desired="stopped"))
        assert two.read().desired == "paused"


def test_amending_from_many_threads_loses_no_request(path: Path):
    ControlStore(path).close()

    def ask() -> None:
        with ControlStore(path) as store:
            for _ in range(10):
                store.amend(lambda control: control.retrying("train"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ControlStore(path) as store:
        assert store.read().retry == {"train": 40}


def test_an_amendment_that_changes_nothing_writes_nothing(path: Path):
    with ControlStore(path) as store:
        store.amend(lambda control: replace(control, desired="running"))
        assert store.read().revision == 0


@pytest.mark.parametrize(
    "body",
    ["{", "[1]", "null", "[" * 200_000, '{"desired": "flying"}', '{"mode": "harder"}',
     '{"retry": {"train": "often"}}', '{"live": 3}'],
    ids=lambda body: body[:12],
)  # fmt: skip
def test_a_revision_that_nobody_can_have_written_is_named(path: Path, body: str):
    with ControlStore(path) as store:
        store.write(Control())
    connection = sqlite3.connect(path)
    connection.execute("UPDATE control SET wanted = ?", (body,))
    connection.commit()
    connection.close()
    with ControlStore(path) as store, pytest.raises(StoreError, match="cannot be read") as caught:
        store.read()
    assert "Remove the file" in caught.value.hint
    with pytest.raises(StoreError, match="cannot be read"):
        read_control(path)


def test_a_full_disk_is_said_when_a_wish_cannot_be_written(path: Path):
    with ControlStore(path) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="the disk is full") as caught:
            store.write(Control(live={"crawl.delay_s": "9" * 100_000}))
    assert "Free some space" in caught.value.hint


def test_looking_at_what_is_wanted_makes_no_file(path: Path):
    assert read_control(path) == Control()
    assert list(path.parent.iterdir()) == []
    path.touch()
    assert read_control(path) == Control()
    with ControlStore(path) as store:
        store.write(replace(store.read(), desired="paused"))
        assert read_control(path) == store.read()

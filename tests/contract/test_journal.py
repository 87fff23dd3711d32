"""The journal keeps every acknowledged event, in order, without gaps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from so8t_core.contract.database import open_reading
from so8t_core.contract.errors import JournalError
from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalReader, JournalWriter


def log(message: str) -> Draft:
    return Draft("log", {"level": "info", "message": message}, "crawl")


def test_what_is_written_is_read_in_order_with_numbers_from_one(tmp_path: Path):
    with JournalWriter(tmp_path / "journal.db") as journal:
        journal.append([log("一"), log("二")])
        journal.append([log("三")])
    with JournalReader(tmp_path / "journal.db") as reader:
        events = reader.after(0)
    assert [(e.seq, e.payload["message"], e.phase) for e in events] == [
        (1, "一", "crawl"),
        (2, "二", "crawl"),
        (3, "三", "crawl"),
    ]


def test_a_reopened_journal_goes_on_with_the_next_number(tmp_path: Path):
    for number in range(3):
        with JournalWriter(tmp_path / "journal.db") as journal:
            assert journal.last_seq == number
            journal.append([log("again")])


def test_a_reader_sees_what_comes_while_it_is_open_in_slices(tmp_path: Path):
    path = tmp_path / "journal.db"
    with JournalWriter(path) as journal, JournalReader(path) as reader:
        assert reader.after(0) == []
        journal.append(log(str(number)) for number in range(10))
        assert [e.seq for e in reader.after(0, 4)] == [1, 2, 3, 4]
        assert [e.seq for e in reader.after(4, 100)] == [5, 6, 7, 8, 9, 10]


def test_acknowledged_events_survive_sigkill(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path\n"
        "from so8t_core.contract.events import Draft\n"
        "from so8t_core.contract.journal import JournalWriter\n"
        "journal = JournalWriter(Path(sys.argv[1]))\n"
        "while True:\n"
        "    seq = journal.append([Draft('phase_done', {}, 'crawl')])[0].seq\n"
        "    print(seq, flush=True)\n"
    )
    path = tmp_path / "journal.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.communicate()[0].splitlines()]
    with JournalReader(path) as reader:
        found = [event.seq for event in reader.after(0, 100_000)]
    assert found[: len(acknowledged)] == acknowledged
    assert found == list(range(1, len(found) + 1))


def test_a_file_that_is_no_journal_is_named(tmp_path: Path):
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(JournalError, match="cannot be read"):
        JournalReader(path).after(0)
    with pytest.raises(JournalError, match="cannot be read"):
        JournalWriter(path)


def test_a_missing_journal_is_named(tmp_path: Path):
    with pytest.raises(JournalError, match="no journal"):
        JournalReader(tmp_path / "journal.db")


def test_a_journal_that_a_run_lost_is_empty_until_an_engine_writes_again(tmp_path: Path):
    (tmp_path / "run.yaml").write_text("name: a\n")
    path = tmp_path / "journal.db"
    with JournalReader(path) as reader:
        assert reader.after(0) == []
        path.touch()
        assert reader.after(0) == []
        with JournalWriter(path) as journal:
            journal.append([log("new")])
            assert [event.seq for event in reader.after(0)] == [1]


def test_what_is_wrong_around_the_file_is_not_called_damage(tmp_path: Path):
    path = tmp_path / "journal.db"
    path.mkdir()
    for opened in (JournalReader, JournalWriter):
        with pytest.raises(JournalError, match="cannot be used") as caught:
            opened(path)
        assert "aside" not in caught.value.hint


def test_a_reader_of_an_unwritable_folder_follows_an_engine_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "journal.db"
    with JournalWriter(path) as journal:
        journal.append([log("one")])
    monkeypatch.setattr("so8t_core.contract.database.os.access", lambda *_, **__: False)
    with JournalReader(path) as reader:
        assert len(reader.after(0)) == 1
        assert not list(tmp_path.glob("journal.db-*"))
        with JournalWriter(path) as journal:
            journal.append([log("two")])
            assert len(reader.after(0)) == 2


def test_a_watcher_keeps_hardly_anything_of_what_it_has_read(tmp_path: Path) -> None:
    """SQLite would keep 2 MB of pages for every open run."""
    with JournalWriter(tmp_path / "journal.db") as journal:
        journal.append([Draft("log", {"level": "info", "message": "x"})])
    connection = open_reading(tmp_path / "journal.db")
    (size,) = connection.execute("PRAGMA cache_size").fetchone()
    connection.close()
    assert -256 <= size < 0

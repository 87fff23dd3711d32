"""The client reads in slices, tells only of changes, and keeps finished runs cheap."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.watch import Watch
from so8t_tui import client as client_module
from so8t_tui.client import POLL_BEHIND_S, POLL_IDLE_S, RunClient
from so8t_tui.runlist import RunList

from .stage import Play, make_run


def test_the_interface_loads_neither_torch_nor_transformers_nor_aiohttp() -> None:
    code = (
        "import sys, so8t_tui.app, so8t_tui.plain\n"
        "heavy = {'torch', 'transformers', 'aiohttp', 'numpy', 'datasets', 'peft'}\n"
        "engine = {m for m in sys.modules if m.startswith('so8t_core.')"
        " and not m.startswith('so8t_core.contract')}\n"
        "print(*sorted((heavy & sys.modules.keys()) | engine))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.strip() == ""
    assert result.stdout.strip() == ""


def test_a_long_journal_is_read_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "finished")
    monkeypatch.setattr(client_module, "BUDGET_S", -1.0)
    monkeypatch.setattr(client_module, "SLICE_EVENTS", 50)
    client, polls = RunClient(run), 0
    while client.behind:
        client.poll()
        polls += 1
        if client.behind:
            assert client.next_poll_s == POLL_BEHIND_S
    assert polls > 3
    watch = Watch(run)
    assert client.seen is not None
    assert client.seen.state == watch.catch_up()
    watch.close()
    client.close()


def test_a_journal_that_grows_faster_than_it_is_read_is_shown_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "finished")
    monkeypatch.setattr(client_module, "BUDGET_S", -1.0)
    monkeypatch.setattr(client_module, "SLICE_EVENTS", 50)
    client, polls = RunClient(run), 0
    line = Draft("log", {"level": "info", "message": "one more"}, "report")
    with JournalWriter(run.journal) as journal:
        while client.reading:
            journal.append([line] * 60)
            client.poll()
            polls += 1
            assert polls < 100
    assert polls > 3
    assert client.behind
    assert client.may_resume is False
    assert client.standing == "done"
    client.close()


def test_nothing_new_is_no_change_and_slows_the_polling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RunClient(make_run(tmp_path, "finished"))
    clock = time.monotonic()
    monkeypatch.setattr(client_module.time, "monotonic", lambda: clock)
    assert client.poll()
    for _ in range(20):
        clock += 1.5
        assert not client.poll()
    assert client.next_poll_s == POLL_IDLE_S
    client.close()


def test_the_list_keeps_no_file_of_a_finished_run_open_and_notices_its_resume(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "paused")
    play = Play()
    play.tell("engine_stopped", exit_code=3, reason="paused")
    play.write(run)
    runs = RunList(tmp_path)
    assert runs.poll()
    while runs.behind:
        runs.poll()
    assert runs.summaries[run.root].standing == "paused"
    assert not runs._watches
    play.engine()
    play.tell("run_finished", outcome="done", message="")
    play.tell("engine_stopped", exit_code=0, reason="done")
    play.write(run)
    runs._listed_at -= 10
    assert runs.poll()
    while runs.behind:
        runs.poll()
    assert runs.summaries[run.root].standing == "done"
    runs.close()

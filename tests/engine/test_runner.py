"""The engine on counting phases: order, retries, guards, pauses, kills."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from contextlib import closing

import psutil
import pytest
from safetensors import SafetensorError

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.events import Event
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.watch import status_document
from so8t_core.engine.channel import WORKER_MARK, run_mark
from so8t_core.engine.worker import as_known_error


def events_of(trial) -> list[Event]:
    with JournalReader(trial.run.journal) as reader:
        return reader.after(0, 1_000_000)


def states_of(trial) -> dict[str, str]:
    return {name: view.state for name, view in trial.state().phases.items()}


def kinds_of(trial, phase: str | None = None) -> list[str]:
    return [event.kind for event in events_of(trial) if phase is None or event.phase == phase]


def processes_of(trial) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid"]):
        try:
            if process.environ().get(WORKER_MARK) == run_mark(trial.run):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_all_phases_run_in_order_and_leave_manifests_that_chain(new_trial):
    trial = new_trial()
    code, output = trial.finish()
    assert code == 0, output
    started = [event.phase for event in events_of(trial) if event.kind == "phase_started"]
    assert started == list(PHASE_NAMES)
    assert set(states_of(trial).values()) == {"done"}
    train = Manifest.read(trial.run.phase("train"))
    cleanse = Manifest.read(trial.run.phase("cleanse"))
    assert train.inputs["cleanse"] == cleanse.digest
    assert train.figures == {"steps": 40}


def test_the_journal_has_no_gaps_and_times_never_run_backwards(new_trial):
    trial = new_trial()
    trial.finish()
    events = events_of(trial)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert all(a.ts <= b.ts for a, b in zip(events, events[1:], strict=False))


def test_a_finished_run_started_again_reuses_everything(new_trial):
    trial = new_trial()
    trial.finish()
    before = {name: Manifest.read(trial.run.phase(name)) for name in PHASE_NAMES}
    code, _ = trial.finish()
    assert code == 0
    assert {name: Manifest.read(trial.run.phase(name)) for name in PHASE_NAMES} == before
    assert kinds_of(trial).count("phase_started") == len(PHASE_NAMES)


def test_a_damaged_output_makes_its_phase_run_again_and_others_only_where_the_result_differs(
    new_trial,
):
    trial = new_trial()
    trial.finish()
    (trial.run.phase("verify") / "result.txt").write_text("tampered")
    trial.finish()
    again = [e.phase for e in events_of(trial) if e.kind == "phase_started"][len(PHASE_NAMES) :]
    assert again == ["verify", "report"]  # the same result: only its manifest's reader runs again


def test_a_damaged_manifest_makes_its_phase_run_again(new_trial):
    trial = new_trial()
    trial.finish()
    (trial.run.phase("report") / "manifest.json").write_text("{")
    code, _ = trial.finish()
    assert code == 0
    assert kinds_of(trial, "report").count("phase_started") == 2


def test_a_phase_skipped_by_the_settings_skips_what_needs_it(new_trial):
    trial = new_trial("engine.skip=[crawl]")
    code, _ = trial.finish()
    states = states_of(trial)
    assert code == 0
    assert states["crawl"] == states["cleanse"] == states["train"] == "skipped"
    assert states["integrate"] == states["report"] == "done"
    assert "crawl (skipped)" in trial.state().phases["cleanse"].reason


def test_only_one_phase_runs_when_asked_for_alone(new_trial):
    trial = new_trial()
    code, _ = trial.finish("verify")
    assert code == 0
    assert states_of(trial)["verify"] == "done"
    assert states_of(trial)["crawl"] == "pending"
    code, _ = trial.finish("train")
    assert code == 4
    assert "needs the result of cleanse" in trial.state().phases["train"].error["what"]


def test_what_was_begun_alone_goes_on_alone(new_trial):
    """After a crash as after a failure; when it is done, and where all is asked for, all goes on."""
    trial = new_trial()
    engine = trial.start("verify")
    trial.await_state(lambda state: state.phases["verify"].state == "running")
    os.killpg(engine.pid, signal.SIGKILL)
    engine.wait()
    trial.wish("verify", "invalid 1")
    assert trial.finish()[0] == 4
    assert trial.finish()[0] == 0
    assert states_of(trial)["verify"] == "done"
    assert set(states_of(trial).values()) == {"done", "pending"}
    assert kinds_of(trial, "crawl") == []
    assert trial.state().engine.only == ("verify",)
    assert trial.finish()[0] == 0
    assert set(states_of(trial).values()) == {"done"}
    other = new_trial()
    other.wish("verify", "invalid 1")
    assert other.finish("verify")[0] == 4
    assert other.finish(*PHASE_NAMES)[0] == 0
    assert set(states_of(other).values()) == {"done"}
    assert other.state().engine.only == ()


def test_a_retryable_failure_is_tried_again_with_growing_waits(new_trial):
    trial = new_trial()
    trial.wish("cleanse", "unreachable 2")
    code, _ = trial.finish()
    assert code == 0
    waits = [
        event.payload["retry_in_s"] for event in events_of(trial) if event.kind == "phase_failed"
    ]
    assert waits == [0.05, 0.1]
    assert trial.state().phases["cleanse"].attempt == 3


def test_tries_run_out_and_the_run_fails_with_code_4(new_trial):
    trial = new_trial()
    trial.wish("cleanse", "unreachable 9")
    code, _ = trial.finish()
    state = trial.state()
    assert code == 4
    assert state.state == "failed"
    assert state.phases["cleanse"].state == "failed"
    assert state.phases["verify"].state == "pending"
    assert kinds_of(trial, "cleanse").count("phase_failed") == 3


def test_bad_input_is_not_tried_again_and_says_what_where_and_next(new_trial):
    trial = new_trial()
    trial.wish("cleanse", "invalid 1")
    code, _ = trial.finish()
    error = trial.state().phases["cleanse"].error
    assert code == 4
    assert kinds_of(trial, "cleanse").count("phase_failed") == 1
    assert (error["what"], error["where"], error["hint"]) == (
        "It cannot be used.",
        "the test",
        "Change it.",
    )


def test_a_failed_run_goes_on_where_it_failed(new_trial):
    trial = new_trial()
    trial.wish("cleanse", "invalid 1")
    trial.finish()
    code, _ = trial.finish()
    assert code == 0
    assert kinds_of(trial, "crawl").count("phase_started") == 1


def test_continue_on_error_runs_what_does_not_need_the_failed_phase(new_trial):
    trial = new_trial("engine.continue_on_error=true")
    trial.wish("cleanse", "invalid 1")
    code, _ = trial.finish()
    states = states_of(trial)
    assert code == 4
    assert states["cleanse"] == "failed"
    assert states["integrate"] == states["report"] == "done"
    assert states["train"] == states["export"] == "skipped"


def test_a_full_disk_is_named_and_not_tried_again(new_trial):
    trial = new_trial()
    trial.wish("cleanse", "full 1")
    code, _ = trial.finish()
    assert code == 4
    assert trial.state().phases["cleanse"].error["what"] == "The disk is full."


@pytest.mark.parametrize(
    ("error", "what", "where"),
    [
        (PermissionError(errno.EACCES, "no", "/run/x"), "Permission denied", "/run/x"),
        (OSError(errno.EROFS, "no", "/run/x"), "Read-only file system", "/run/x"),
        (NotADirectoryError(errno.ENOTDIR, "no", "/run/x"), "Not a directory", "/run/x"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "disk is full", None),
    ],
    ids=["permission", "read-only", "file", "in words"],
)
def test_what_disks_and_permissions_forbid_is_no_defect(error, what, where):
    known = as_known_error(error)
    assert isinstance(known, ResourceError)
    assert what in known.what
    assert known.where == where
    assert known.hint


def test_a_defect_shows_no_traceback_but_the_phase_log_has_it(new_trial):
    trial = new_trial()
    trial.wish("cleanse", "defect 9")
    code, output = trial.finish()
    assert code == 4
    assert "Traceback" not in output
    assert "a defect" in trial.state().phases["cleanse"].error["what"]
    assert "Traceback" in (trial.run.logs / "cleanse.log").read_text()


def test_short_disk_space_stops_the_run_before_anything_is_written(new_trial):
    trial = new_trial("engine.min_free_disk_gb=1000000")
    code, _ = trial.finish()
    assert code == 4
    assert "Disk space is short" in trial.state().phases["crawl"].error["what"]


def test_a_killed_worker_is_tried_again_and_goes_on_from_what_it_saved(new_trial):
    trial = new_trial()
    trial.wish("train", "die 1")
    code, _ = trial.finish()
    rewinds = [
        e.payload["step"] for e in events_of(trial) if e.kind == "rewound" and e.phase == "train"
    ]
    assert code == 0
    assert rewinds == [0, 1]
    series = trial.state().phases["train"].series["loss"]
    assert list(series.steps) == sorted(set(series.steps))


def test_a_killed_engine_takes_its_worker_along_and_a_new_one_goes_on(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["cleanse"].done >= 5)
    engine.kill()
    engine.wait()
    assert trial.seen().status == "crashed"
    gone = psutil.wait_procs([psutil.Process(p) for p in processes_of(trial)], timeout=5)[1]
    assert gone == []
    assert status_document(trial.run)["phases"]["cleanse"]["state"] == "pending"
    code, _ = trial.finish()
    assert code == 0
    rewinds = [
        e.payload["step"] for e in events_of(trial) if e.kind == "rewound" and e.phase == "cleanse"
    ]
    assert rewinds[0] == 0
    assert rewinds[1] >= 5


def test_a_soft_pause_holds_the_process_and_a_resume_lets_it_go(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    trial.want(desired="paused", mode="soft")
    paused = trial.await_state(lambda s: s.phases["crawl"].state == "paused")
    assert paused.state == "paused"
    assert len(processes_of(trial)) == 1
    trial.want(desired="running")
    assert engine.wait(timeout=60) == 0
    story = [
        k
        for k in kinds_of(trial, "crawl")
        if k in {"pause_requested", "quiescing", "paused", "resumed"}
    ]
    assert story == ["pause_requested", "quiescing", "paused", "resumed"]
    assert kinds_of(trial, "crawl").count("phase_started") == 1


def test_a_hard_pause_ends_the_process_and_a_resume_starts_another(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    trial.want(desired="paused", mode="hard")
    trial.await_state(lambda s: s.phases["crawl"].state == "paused")
    assert processes_of(trial) == []
    assert engine.poll() is None
    trial.want(desired="running", mode="soft")
    assert engine.wait(timeout=60) == 0
    assert kinds_of(trial, "crawl").count("phase_started") == 2
    assert trial.state().phases["crawl"].attempt == 1


def test_a_soft_pause_can_turn_hard(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    trial.want(desired="paused", mode="soft")
    trial.await_state(lambda s: s.phases["crawl"].state == "paused")
    trial.want(mode="hard")
    trial.await_state(lambda s: s.pause_mode == "hard" and s.state == "paused")
    assert processes_of(trial) == []
    trial.want(desired="running", mode="soft")
    assert engine.wait(timeout=60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_pauses_cleanly_and_ends_with_code_3(new_trial, number):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    engine.send_signal(number)
    output, _ = engine.communicate(timeout=60)
    seen = trial.seen()
    assert engine.returncode == 3, (output, seen.state.message, seen.state.phases["crawl"].error)
    assert seen.status == "paused"
    assert seen.state.engine.stopped
    trial.want(desired="running")
    code, _ = trial.finish()
    assert code == 0


def test_stop_ends_the_engine_and_a_restart_without_a_wish_stays_stopped(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    trial.want(desired="stopped", mode="hard")
    assert engine.wait(timeout=60) == 3
    code, _ = trial.finish()
    assert code == 3


def test_a_pause_wanted_before_the_start_is_kept(new_trial):
    trial = new_trial()
    trial.want(desired="paused")
    engine = trial.start()
    state = trial.await_state(lambda s: s.state == "paused")
    assert state.phases["crawl"].state == "pending"
    trial.want(desired="running")
    assert engine.wait(timeout=60) == 0


def test_a_second_engine_is_refused_with_code_5_and_names_the_holder(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 1)
    code, output = trial.finish()
    assert code == 5
    assert str(engine.pid) in output
    assert engine.wait(timeout=60) == 0


def test_a_lost_journal_begins_anew_and_finished_phases_are_known_by_their_manifests(new_trial):
    trial = new_trial()
    trial.finish()
    trial.run.journal.unlink()
    assert trial.finish()[0] == 0
    assert kinds_of(trial)[0] == "run_created"
    assert kinds_of(trial).count("phase_started") == 0
    assert set(states_of(trial).values()) == {"done"}


def test_a_skip_ends_the_running_phase_and_is_served_once(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["evaluate"].done >= 3)
    trial.amend(lambda c: c.skipping("evaluate"))
    assert engine.wait(timeout=60) == 0
    assert states_of(trial)["evaluate"] == "skipped"
    code, _ = trial.finish()
    assert code == 0
    assert states_of(trial)["evaluate"] == "done"


def test_a_retry_makes_a_finished_phase_run_again_once(new_trial):
    trial = new_trial()
    trial.finish()
    trial.amend(lambda c: c.retrying("evaluate"))
    trial.finish()
    trial.finish()
    assert kinds_of(trial, "evaluate").count("phase_started") == 2


def test_a_journal_from_a_newer_version_is_refused_and_left_alone(new_trial):
    trial = new_trial()
    with closing(sqlite3.connect(trial.run.journal)) as connection:
        connection.execute("PRAGMA user_version=99")
    code, output = trial.finish()
    assert code == 4
    assert "format 99" in output
    with closing(sqlite3.connect(trial.run.journal)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
        assert connection.execute("SELECT kind FROM events").fetchall() == [("run_created",)]


def test_no_process_of_a_run_is_left_when_its_engine_and_worker_groups_are_killed(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["train"].done >= 3)
    for pid in processes_of(trial):
        os.kill(pid, signal.SIGSTOP)  # one that cannot even notice
    engine.kill()
    engine.wait()
    code, _ = trial.finish()
    assert code == 0
    assert processes_of(trial) == []


def test_a_retry_asked_for_while_a_later_phase_runs_is_not_lost(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["evaluate"].done >= 3)
    trial.amend(lambda c: c.retrying("cleanse"))
    assert engine.wait(timeout=60) == 0
    assert kinds_of(trial, "cleanse").count("phase_started") == 2
    assert set(states_of(trial).values()) == {"done"}


def test_a_pause_lifted_and_asked_for_anew_while_the_phase_is_stalled_is_answered(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    trial.want(desired="paused", mode="soft")
    trial.await_state(lambda s: s.state == "paused")
    (worker,) = processes_of(trial)
    os.kill(worker, signal.SIGSTOP)
    trial.want(desired="running")
    trial.await_state(lambda s: s.control_revision == 2)
    trial.want(desired="paused")
    trial.await_state(lambda s: s.control_revision == 3)
    os.kill(worker, signal.SIGCONT)
    paused = trial.await_state(lambda s: s.state == "paused")
    assert paused.phases["crawl"].state == "paused"
    trial.want(desired="running")
    assert engine.wait(timeout=60) == 0


def test_a_second_signal_ends_at_once_and_leaves_no_phase_running(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    (worker,) = processes_of(trial)
    os.kill(worker, signal.SIGSTOP)  # it cannot pause
    engine.send_signal(signal.SIGINT)
    trial.await_state(lambda s: s.state == "pausing")
    engine.send_signal(signal.SIGINT)
    output, _ = engine.communicate(timeout=60)
    assert engine.returncode == 3, (
        output,
        [(e.kind, dict(e.payload)) for e in events_of(trial)][-14:],
    )
    assert states_of(trial)["crawl"] == "pending"
    trial.want(desired="running")
    assert trial.finish()[0] == 0


@pytest.mark.parametrize("wish", ["stop", "skip"])
def test_a_stop_or_a_skip_does_not_wait_out_a_retry(new_trial, wish):
    trial = new_trial("engine.retry_delay_s=1000")
    trial.wish("crawl", "unreachable 1")
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].retry_at is not None)
    if wish == "stop":
        trial.want(desired="stopped")
        assert engine.wait(timeout=60) == 3
    else:
        trial.amend(lambda c: c.skipping("crawl"))
        assert engine.wait(timeout=60) == 0
        assert states_of(trial)["crawl"] == "skipped"


def test_a_run_of_which_only_a_part_was_done_is_not_called_done(new_trial):
    trial = new_trial()
    assert trial.finish("verify")[0] == 0
    assert trial.seen().status == "paused"
    assert kinds_of(trial).count("run_finished") == 0
    assert trial.finish()[0] == 0
    assert trial.seen().status == "done"
    assert trial.state().message == "8 done"


def test_a_part_that_goes_well_is_no_failure_because_another_phase_failed_before(new_trial):
    trial = new_trial()
    trial.wish("evaluate", "invalid 1")
    assert trial.finish()[0] == 4
    code, _ = trial.finish("train")
    assert code == 0
    last = [event for event in events_of(trial) if event.kind == "engine_stopped"][-1]
    assert last.payload["reason"] == "done; failed before, and not run again: evaluate"
    finished = [e.payload["outcome"] for e in events_of(trial) if e.kind == "run_finished"]
    assert finished == ["failed"]  # of the first engine alone
    assert states_of(trial)["evaluate"] == "failed"


def test_a_run_with_skipped_phases_says_which(new_trial):
    trial = new_trial("engine.skip=[crawl]")
    trial.finish()
    assert trial.state().message.startswith("skipped: crawl, cleanse, train")


def test_a_folder_that_cannot_be_used_fails_its_phase_with_a_name(new_trial):
    trial = new_trial()
    trial.run.phase("verify").write_text("a file in the way")
    code, output = trial.finish()
    assert code == 4
    assert "Traceback" not in output
    assert "folder of verify cannot be used" in trial.state().phases["verify"].error["what"]


def test_leftovers_are_known_after_the_run_was_renamed(new_trial):
    trial = new_trial()
    engine = trial.start()
    trial.await_state(lambda s: s.phases["crawl"].done >= 3)
    (worker,) = processes_of(trial)
    os.kill(worker, signal.SIGSTOP)
    engine.kill()
    engine.wait()
    trial.run = type(trial.run)(trial.run.root.rename(trial.run.root.with_name("renamed")))
    assert trial.finish()[0] == 0
    assert processes_of(trial) == []


def test_a_milestone_is_journaled_and_told_beside_the_run(new_trial):
    trial = new_trial("notify.milestones=[cleanse]")
    code, output = trial.finish()
    assert code == 0, output
    events = events_of(trial)
    assert [event.phase for event in events if event.kind == "milestone"] == ["cleanse"]
    told = [event.payload["lines"][0] for event in events if event.kind == "notified"]
    assert "cleanse is done (milestone)" in told
    assert len(told) == 2

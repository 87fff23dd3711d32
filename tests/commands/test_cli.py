"""The command line as scripts rely on it: exit codes, shapes, messages without tracebacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from so8t_core.cli import build_parser, main
from so8t_core.contract.config import load_settings
from so8t_core.contract.control import ControlStore
from so8t_core.contract.lock import EngineLock
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run
from so8t_core.model.tiny import build_tiny

CLI = [sys.executable, "-m", "so8t_core.cli"]


def so8t(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *map(str, words)], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path / "runs", load_settings(None, ["name=trial"]))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    folder.mkdir()
    build_tiny(folder, seed=1)
    return folder


def commands() -> list[str]:
    group = build_parser()._subparsers._group_actions[0]
    return sorted(group.choices)


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"so8t {command}" in capsys.readouterr().out.partition("example:")[2]


def test_status_has_the_shape_that_scripts_read(run: RunDir, capsys):
    assert main(["status", run.name, "--json", "--runs-dir", str(run.root.parent)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == run.name
    assert document["state"] == "pending"
    assert list(document["phases"]) == list(PHASE_NAMES)
    assert {phase["state"] for phase in document["phases"].values()} == {"pending"}


def test_the_runs_folder_may_be_named_before_or_behind_the_command(run: RunDir, capsys):
    folder = str(run.root.parent)
    for words in (
        ["--runs-dir", folder, "runs", "--json"],
        ["runs", "--json", "--runs-dir", folder],
    ):
        assert main(words) == 0
        assert [row["run"] for row in json.loads(capsys.readouterr().out)] == [run.name]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["status", "nowhere"], 2, "no run called 'nowhere'"),
        (["status"], 2, "There is no run yet"),
        (["run", "-c", "missing.yaml"], 2, "cannot be read"),
        (["config", "check", "missing.yaml"], 2, "cannot be read"),
        (["demo", "--set", "engine.max_attemps=2"], 2, "Did you mean `max_attempts`?"),
        (["train"], 2, "needs a run or a settings file"),
        (["integrate", "--model-path", "x"], 2, "needs --output-path"),
        (["integrate", "--model-path", "x", "--output-path", "y"], 4, "no model folder"),
        (
            ["export", "--fold-only", "--model-path", "x", "--output-path", "y"],
            4,
            "no model folder",
        ),
        (["verify", "--model-path", "x"], 4, "no model folder"),
    ],
)
def test_what_a_user_can_get_wrong_is_said_without_a_traceback(
    words: list[str], code: int, message: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path):
    answer = so8t("--debug", "--runs-dir", tmp_path, "status", "nowhere")
    assert "Traceback" in answer.stderr


def test_a_run_whose_lock_is_held_is_refused_with_code_5(run: RunDir):
    lock = EngineLock(run)
    lock.acquire()
    answer = so8t("resume", run.root, "--headless")
    assert answer.returncode == 0  # resuming a living engine means to let it go on
    changing = so8t("resume", run.root, "--headless", "--set", "train.bad_step=skip")
    assert changing.returncode == 5
    assert load_settings(run.settings_file).train.bad_step == "stop"
    answer = subprocess.run(
        [sys.executable, "-m", "so8t_core.engine", run.root], capture_output=True, text=True
    )
    assert answer.returncode == 5
    assert str(os.getpid()) in answer.stderr
    lock.release()


def test_pausing_without_an_engine_is_kept_for_the_next_one(run: RunDir, capsys):
    assert main(["pause", str(run.root), "--hard"]) == 0
    assert "no engine runs now" in capsys.readouterr().out
    with ControlStore(run.control) as store:
        assert (store.read().desired, store.read().mode) == ("paused", "hard")


def test_a_base_without_a_tokenizer_is_integrated_and_the_output_says_so(
    base: Path, tmp_path: Path, capsys
):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(base / name, bare)
    gated, folded = tmp_path / "gated", tmp_path / "folded"
    assert main(["integrate", "--model-path", str(bare), "--output-path", str(gated)]) == 0
    assert "no tokenizer" in capsys.readouterr().out
    words = ["export", "--fold-only", "--model-path", str(gated), "--output-path", str(folded)]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["folded_layers"] == 4
    config = json.loads((folded / "config.json").read_text())
    assert config["model_type"] == "phi3"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_into_a_closed_pipe_ends_quietly(run: RunDir, unbuffered: str):
    for command in ("config schema", f"status {run.root}"):
        line = f"(so8t {command}; echo $? >&2) | true"
        assert shell(line, PYTHONUNBUFFERED=unbuffered).stderr == "0\n"


def test_without_a_terminal_the_bare_command_lists_runs(run: RunDir):
    answer = so8t("--runs-dir", run.root.parent)
    assert answer.returncode == 0
    assert run.name in answer.stdout


def test_doctor_names_every_package_of_the_design(capsys, tmp_path: Path):
    main(["doctor", "--json", "--runs-dir", str(tmp_path)])
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    for package in ("textual", "torch", "transformers", "peft", "bitsandbytes", "aiohttp"):
        assert rows[package]["ok"]


def test_a_shown_configuration_is_a_valid_one(tmp_path: Path, capsys):
    main(["config", "show"])
    file = tmp_path / "shown.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["config", "check", str(file)]) == 0


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line.replace("so8t", f"{sys.executable} -m so8t_core.cli"),
        shell=True, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_closed_standard_streams_stop_nothing(run: RunDir):
    answer = shell(f"so8t --runs-dir {run.root.parent} <&-")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert run.name in answer.stdout
    answer = shell(f"so8t status {run.root} >&-")
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["status {run}", "config schema"])
def test_output_that_cannot_be_written_is_named(run: RunDir, command: str, unbuffered: str):
    line = f"so8t {command.format(run=run.root)} > /dev/full"
    answer = shell(line, PYTHONUNBUFFERED=unbuffered)
    assert answer.returncode == 4
    assert answer.stderr.startswith("so8t: The output cannot be written: No space left on device.")
    assert "Exception ignored" not in answer.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_our_letters_shows_what_it_can(tmp_path: Path, encoding: str):
    run = create_run(tmp_path / "実行", load_settings(None))
    for path in run.root.glob("journal.db*"):
        path.unlink()
    run.journal.write_bytes(b"no database" * 500)
    for words in (("runs", "--json", "--runs-dir", run.root.parent), ("status", run.root)):
        answer = so8t(*words, PYTHONIOENCODING=encoding)
        assert "Encode" not in answer.stderr
        assert "unexpected" not in answer.stderr


def test_an_unreadable_run_is_a_row_of_its_own(run: RunDir, capsys):
    other = create_run(run.root.parent, load_settings(None, ["name=other"]))
    for path in run.root.glob("journal.db*"):
        path.unlink()
    run.journal.write_bytes(b"no database" * 500)
    folder = str(run.root.parent)
    assert main(["runs", "--json", "--runs-dir", folder]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[other.name]["state"] == "pending"
    assert rows[run.name]["state"] == "unreadable"
    assert "The journal cannot be read" in rows[run.name]["reason"]
    assert main(["runs", "--runs-dir", folder]) == 0
    shown = capsys.readouterr().out
    assert f"{run.name:<40} unreadable\n" in shown
    assert other.name in shown


def test_a_run_whose_journal_was_moved_aside_is_pending_and_found(run: RunDir, capsys):
    run.journal.rename(run.root / "journal.aside")
    assert main(["status", str(run.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "pending"


@contextmanager
def another_user() -> Iterator[None]:
    """Give up the superuser's right to write everywhere, where the tests have it."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_finished_run_is_readable_where_nothing_may_be_written(capsys):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        run = create_run(folder, load_settings(None, ["name=archived"]))
        lock = EngineLock(run)
        lock.acquire()
        lock.release()
        report = run.phase("report")
        report.mkdir()
        (report / "report.md").write_text("# Report\n", encoding="utf-8")
        for path in (*run.root.rglob("*"), run.root):
            path.chmod(0o555 if path.is_dir() else 0o444)
        run.lock.chmod(0o400)
        before = sorted(run.root.rglob("*"))
        with another_user():
            assert main(["status", str(run.root)]) == 0
            assert "pending" in capsys.readouterr().out
            assert main(["runs", "--runs-dir", name, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)[0]["state"] == "pending"
            assert main(["report", str(run.root)]) == 0
            assert "# Report" in capsys.readouterr().out
            assert main(["pause", str(run.root)]) == 4
            assert "may only be read here" in capsys.readouterr().err
        assert sorted(run.root.rglob("*")) == before
        for path in (run.root, *run.root.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize(
    "words", [("train", "--run", "none"), ("demo",), ("resume",)], ids=" ".join
)
def test_what_a_launcher_started_several_times_is_refused_before_any_run_is_made(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["--runs-dir", str(tmp_path / "runs"), *words]) == 2
    told = capsys.readouterr().err
    assert "started this command 2 times" in told
    assert "so8t train --gpus 2" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("count", ["1", "", "many"])
def test_a_launcher_of_one_process_is_no_hindrance(
    count: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("WORLD_SIZE", count)
    main(["--runs-dir", str(tmp_path), "train", "--run", "none"])
    assert "started this command" not in capsys.readouterr().err


def test_a_run_without_a_report_says_which_phases_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings = load_settings(None, ["name=trial", f"train.model_path={tmp_path}"])
    run = create_run(tmp_path / "runs", settings)
    assert main(["--runs-dir", str(tmp_path / "runs"), "report", run.name]) == 2
    told = capsys.readouterr().err
    assert f"`so8t resume {run.name} --all` goes on with crawl, cleanse, train, evaluate" in told

"""The end of a run is told by sound, hook and terminal; what cannot be done is said."""

import asyncio
import json
import os
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings.engine import NotifySettings
from so8t_core.engine import notify as notify_module
from so8t_core.engine.notify import notify, terminal_notification

QUIET = NotifySettings(sound=False)


def run_with_report(root: Path) -> RunDir:
    run = RunDir(root / "a-run")
    run.phase("report").mkdir(parents=True)
    (run.phase("report") / "report.html").write_text("<p>done</p>")
    return run


def player(folder: Path, code: int = 0) -> dict[str, str]:
    """A `paplay` that notes what it was given."""
    folder.mkdir()
    script = folder / "paplay"
    script.write_text(f'#!/bin/sh\necho "$1" > {folder}/played\nexit {code}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def hook(*lines: str) -> NotifySettings:
    return NotifySettings(
        sound=False,
        on_complete=(sys.executable, "-c", "\n".join(lines)),
    )


async def test_the_hook_learns_run_outcome_and_report(tmp_path: Path) -> None:
    run = run_with_report(tmp_path)
    settings = hook(
        "import os", "print(*(os.environ['SO8T_' + n] for n in ('RUN', 'OUTCOME', 'REPORT')))"
    )
    lines = await notify("done", run, settings, "The run is done")
    assert lines[0] == "The run is done (done)"
    assert lines[2].endswith(": ok (on_complete.log).")
    logged = (run.logs / "on_complete.log").read_text().split()
    assert logged == [str(run.root), "done", str(run.phase("report") / "report.html")]


async def test_without_a_report_the_hook_gets_an_empty_path(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "bare")
    settings = hook("import os", "print(repr(os.environ['SO8T_REPORT']))")
    await notify("failed", run, settings, "The run has failed")
    assert (run.logs / "on_complete.log").read_text() == "''\n"


async def test_the_hook_is_given_words_and_no_shell(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "bare")
    settings = NotifySettings(
        sound=False,
        on_complete=(sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; echo x"),
    )
    await notify("done", run, settings, "m")
    assert (run.logs / "on_complete.log").read_text() == "$HOME; echo x\n"


async def test_the_hooks_exit_code_is_told(tmp_path: Path) -> None:
    lines = await notify("done", RunDir(tmp_path / "r"), hook("raise SystemExit(7)"), "m")
    assert "exit code 7" in lines[2]


async def test_a_hook_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = NotifySettings(sound=False, on_complete=("no-such-program-here",))
    lines = await notify("done", RunDir(tmp_path / "r"), settings, "m")
    assert "could not be started" in lines[2]


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_hook_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    settings = NotifySettings(
        sound=False,
        on_complete=("sh", "-c", "sleep 600 & echo $!; wait"),
        on_complete_timeout_s=4.0,
    )
    run = RunDir(tmp_path / "r")
    lines = await notify("done", run, settings, "m")
    assert "ended after its 4 s were over" in lines[2]
    child = int((run.logs / "on_complete.log").read_text())
    async with asyncio.timeout(30):
        while not ended(child):
            await asyncio.sleep(0.01)


async def test_no_hook_is_said(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"]}
    assert await notify("done", RunDir(tmp_path / "r"), QUIET, "m", env=bare) == [
        "m (done)",
        "Sound: switched off by the settings.",
        "on_complete: none is set.",
        "Desktop: no desktop was found here.",
        "Webhook: none is set.",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the double stands in for a Linux player")
@pytest.mark.parametrize(("outcome", "file"), [("done", "success.wav"), ("failed", "error.wav")])
async def test_the_built_in_chime_tells_done_from_failed(
    tmp_path: Path, outcome: notify_module.RunOutcome, file: str
) -> None:
    env = player(tmp_path / "bin")
    lines = await notify(outcome, RunDir(tmp_path / "r"), NotifySettings(), "m", env=env)
    assert lines[1].endswith(": ok.")
    played = Path((tmp_path / "bin" / "played").read_text().strip())
    assert played.name == file
    assert played.is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="the double stands in for a Linux player")
async def test_an_own_sound_is_played_and_a_failure_told(tmp_path: Path) -> None:
    own = tmp_path / "own sound.wav"
    own.write_bytes(b"RIFF")
    env = player(tmp_path / "bin", code=3)
    settings = NotifySettings(sound_file=own)
    lines = await notify("done", RunDir(tmp_path / "r"), settings, "m", env=env)
    assert (tmp_path / "bin" / "played").read_text() == f"{own}\n"
    assert "exit code 3" in lines[1]


async def test_a_missing_sound_file_is_told(tmp_path: Path) -> None:
    settings = NotifySettings(sound_file=tmp_path / "gone.wav")
    lines = await notify("done", RunDir(tmp_path / "r"), settings, "m", env={"PATH": ""})
    assert "is not there (notify.sound_file)" in lines[1]


async def test_without_a_player_it_is_silent_and_says_so(tmp_path: Path) -> None:
    lines = await notify("done", RunDir(tmp_path / "r"), NotifySettings(), "m", env={"PATH": ""})
    assert "silent" in lines[1]


async def test_over_ssh_no_sound_is_played(tmp_path: Path) -> None:
    env = player(tmp_path / "bin") | {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
    lines = await notify("done", RunDir(tmp_path / "r"), NotifySettings(), "m", env=env)
    assert "SSH" in lines[1]
    assert not (tmp_path / "bin" / "played").exists()


@pytest.mark.parametrize(
    ("env", "sequence"),
    [
        ({"TERM": "xterm-kitty"}, "\a\x1b]99;;SO8T: done\x1b\\"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\a\x1b]9;SO8T: done\a"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "\a\x1b]9;SO8T: done\a"),
        ({"TERM": "foot"}, "\a\x1b]777;notify;SO8T;done\x1b\\"),
        ({"TERM": "xterm-ghostty"}, "\a\x1b]777;notify;SO8T;done\x1b\\"),
        ({"TERM": "xterm", "TERM_PROGRAM": "WezTerm"}, "\a\x1b]777;notify;SO8T;done\x1b\\"),
        ({"TERM": "linux"}, "\a"),
        ({"TERM": "xterm-256color"}, "\a"),
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, "\a"),
        ({}, "\a"),
        (
            {"TERM": "tmux-256color", "TMUX": "socket,1,0", "KITTY_WINDOW_ID": "1"},
            "\a\x1bPtmux;\x1b\x1b]99;;SO8T: done\x1b\x1b\\\x1b\\",
        ),
        ({"TERM": "screen", "TMUX": "socket,1,0"}, "\a"),
    ],
)
def test_each_terminal_gets_its_own_sequence(env: dict[str, str], sequence: str) -> None:
    assert terminal_notification("done", env) == sequence


def test_bell_and_notification_can_be_switched_off() -> None:
    env = {"TERM": "foot"}
    assert terminal_notification("x", env, bell=False).startswith("\x1b]777")
    assert terminal_notification("x", env, desktop=False) == "\a"
    assert terminal_notification("x", env, bell=False, desktop=False) == ""


def test_the_message_cannot_end_the_sequence_or_add_fields() -> None:
    hostile = "a\x1b\\\x1b]0;owned\a\x9c b;c\u202e\n" + "x" * 1000
    sequence = terminal_notification(hostile, {"TERM": "foot"}, bell=False)
    body = sequence.removeprefix("\x1b]777;notify;SO8T;").removesuffix("\x1b\\")
    assert not set(body) & set("\x1b\a\x9c\u202e\n;")
    assert len(body) <= 200


class Listener:
    """An address that notes what is posted to it and answers with a status."""

    def __init__(self, status: int) -> None:
        listener, self.got = self, []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                listener.got.append(json.loads(self.rfile.read(size)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/done"

    def __enter__(self) -> "Listener":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


async def test_the_webhook_is_told_run_outcome_and_message(tmp_path: Path) -> None:
    with Listener(204) as listener:
        settings = NotifySettings(sound=False, webhook=listener.url)
        lines = await notify("milestone", RunDir(tmp_path / "a-run"), settings, "train is done")
    assert listener.got == [{"run": "a-run", "outcome": "milestone", "message": "train is done"}]
    assert lines[-1] == "Webhook: 127.0.0.1: answered 204."


async def test_a_webhook_that_refuses_or_is_not_there_is_told(tmp_path: Path) -> None:
    with Listener(500) as listener:
        settings = NotifySettings(sound=False, webhook=listener.url)
        lines = await notify("done", RunDir(tmp_path / "r"), settings, "m")
        assert "HTTP Error 500" in lines[-1]
    lines = await notify("done", RunDir(tmp_path / "r"), settings, "m")
    assert "Connection refused" in lines[-1]


@pytest.mark.parametrize("address", ["ftp://x/", "file:///etc/passwd", "http://a b/", "x"])
def test_a_webhook_is_an_address_of_the_web(address: str) -> None:
    with pytest.raises(ValueError, match="webhook"):
        NotifySettings(webhook=address)


async def test_a_desktop_is_told_without_markup_where_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "notify-send"
    script.write_text(f'#!/bin/sh\necho "$4" > {folder}/shown\n')
    script.chmod(0o755)
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "DISPLAY": ":0"}
    lines = await notify("done", RunDir(tmp_path / "r"), QUIET, "a\x1b[31mb", env=env)
    assert "Desktop: notify-send: ok." in lines
    assert (folder / "shown").read_text() == "a[31mb\n"
    far = {**env, "SSH_CONNECTION": "x"}
    assert any(
        "none over SSH" in line
        for line in await notify("done", RunDir(tmp_path / "r"), QUIET, "m", env=far)
    )

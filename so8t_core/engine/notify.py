"""Telling a person how a run stands: sound, desktop, terminal, their command, their address."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import chime

from so8t_core.contract.plain import plain_text
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings.engine import NotifySettings

RunOutcome = Literal["done", "failed", "milestone"]

_SOUND_TIMEOUT_S = 15.0
_MESSAGE_LIMIT = 200
_TITLE = "SO8T"
_BELL = "\a"
_ESC = "\x1b"
_ST = "\x1b\\"
# Foreground programs that play a WAV file and come back when it ends.
_PLAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "linux": (("paplay",), ("pw-play",), ("aplay", "-q")),
    "darwin": (("afplay",),),
}
_POWERSHELL = "(New-Object Media.SoundPlayer $env:SO8T_SOUND).PlaySync()"


async def notify(
    outcome: RunOutcome,
    run: RunDir,
    settings: NotifySettings,
    message: str,
    *,
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """Play, show, run `on_complete`, call the webhook; return a line for each, done or not.

    Never raises for a missing device, player, file, command or address: what did not work is said
    in the lines. The terminal's own notification is `terminal_notification`, written by whoever
    owns a terminal. `env` is the environment to look at and to hand on (None: this process's).
    """
    surroundings = dict(os.environ if env is None else env)
    told = await asyncio.gather(
        _play(outcome, settings, surroundings),
        _call_hook(outcome, run, settings, surroundings),
        _show(message, settings, surroundings),
        _post(outcome, run, settings, message),
    )
    return [f"{message} ({outcome})", *told]


def terminal_notification(
    message: str, env: Mapping[str, str], *, bell: bool = True, desktop: bool = True
) -> str:
    """The characters that make the user's terminal ring and show `message`.

    OSC 9 for iTerm2, 99 for kitty, 777 for foot, Ghostty, WezTerm and rxvt-unicode, wrapped for
    tmux; the bell alone elsewhere. Works over SSH, as it is nothing but output. `message` loses
    every control and format character, and is cut at 200.
    """
    ring = _BELL if bell else ""
    if not desktop or env.get("TERM", "dumb") == "dumb":
        return ring
    # A semicolon separates the fields of OSC 777.
    text = plain_text(message, limit=_MESSAGE_LIMIT).replace(";", ",")
    sequence = _osc(text, env)
    if sequence and env.get("TMUX"):
        sequence = f"{_ESC}Ptmux;{sequence.replace(_ESC, _ESC * 2)}{_ST}"
    return ring + sequence


def _osc(text: str, env: Mapping[str, str]) -> str:
    term = env.get("TERM", "")
    program = env.get("TERM_PROGRAM", "").lower()
    if "KITTY_WINDOW_ID" in env or "kitty" in term:
        return f"{_ESC}]99;;{_TITLE}: {text}{_ST}"
    if program == "iterm.app" or env.get("LC_TERMINAL") == "iTerm2":
        return f"{_ESC}]9;{_TITLE}: {text}{_BELL}"
    if (
        program in {"ghostty", "wezterm"}
        or {"GHOSTTY_RESOURCES_DIR", "WEZTERM_PANE"} & set(env)
        or term.startswith(("foot", "rxvt-unicode", "xterm-ghostty"))
    ):
        return f"{_ESC}]777;notify;{_TITLE};{text}{_ST}"
    return ""


async def _play(outcome: RunOutcome, settings: NotifySettings, env: dict[str, str]) -> str:
    if not settings.sound:
        return "Sound: switched off by the settings."
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return "Sound: none over SSH; the bell and the terminal's notification work there."
    path = settings.sound_file or _built_in(outcome)
    if not path.is_file():
        return f"Sound: the file {path} is not there (notify.sound_file)."
    command = _player(path, env)
    if command is None:
        return "Sound: silent, as no audio device or player was found here."
    code = await _finish(command, {**env, "SO8T_SOUND": str(path)}, None, _SOUND_TIMEOUT_S)
    return f"Sound: {path.name} with {command[0]}: {code}."


def _built_in(outcome: RunOutcome) -> Path:
    names = {"done": "success.wav", "failed": "error.wav", "milestone": "info.wav"}
    name = names[outcome]
    return Path(chime.themes_dir()) / "chime" / name


def _player(path: Path, env: Mapping[str, str]) -> list[str] | None:
    """The command that plays the file on this machine; None where there is none."""
    search = env.get("PATH")
    if sys.platform == "win32":
        shell = shutil.which("powershell", path=search)
        return [shell, "-NoProfile", "-NonInteractive", "-Command", _POWERSHELL] if shell else None
    for name, *options in _PLAYERS.get(sys.platform, ()):
        program = shutil.which(name, path=search)
        if program is not None and (name != "aplay" or _alsa_has_a_card()):
            return [program, *options, str(path)]
    return None


def _alsa_has_a_card() -> bool:
    return any(Path("/dev/snd").glob("pcm*p"))


async def _show(message: str, settings: NotifySettings, env: dict[str, str]) -> str:
    """A notification on this machine's desktop, where there is one."""
    if not settings.desktop:
        return "Desktop: switched off by the settings."
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return "Desktop: none over SSH; the terminal's notification works there."
    text = plain_text(message, limit=_MESSAGE_LIMIT)
    command = _desktop_command(text, env)
    if command is None:
        return "Desktop: no desktop was found here."
    return f"Desktop: {command[0]}: {await _finish(command, env, None, _SOUND_TIMEOUT_S)}."


def _desktop_command(text: str, env: Mapping[str, str]) -> list[str] | None:
    search = env.get("PATH")
    if sys.platform == "darwin" and shutil.which("osascript", path=search):
        script = 'display notification (item 1 of argv) with title "SO8T"'
        return ["osascript", "-e", "on run argv", "-e", script, "-e", "end run", text]
    seated = env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and seated and shutil.which("notify-send", path=search):
        return ["notify-send", "--app-name", _TITLE, _TITLE, text]
    return None


async def _post(outcome: RunOutcome, run: RunDir, settings: NotifySettings, message: str) -> str:
    """Tell the user's own address; whatever it answers, the run goes on."""
    if not settings.webhook:
        return "Webhook: none is set."
    body = json.dumps({"run": run.name, "outcome": outcome, "message": message}).encode()
    request = urllib.request.Request(  # noqa: S310 - the settings admit http and https alone
        settings.webhook, body, {"Content-Type": "application/json", "User-Agent": "so8t"}
    )
    limit_s = settings.on_complete_timeout_s

    def call() -> int:
        with urllib.request.urlopen(request, timeout=limit_s) as answer:  # noqa: S310
            return int(answer.status)

    place = urlsplit(settings.webhook).hostname or ""
    try:
        async with asyncio.timeout(limit_s):
            status = await asyncio.to_thread(call)
    except (OSError, ValueError, HTTPException) as error:
        return f"Webhook: {plain_text(place)}: {plain_text(str(error), limit=120)}."
    return f"Webhook: {plain_text(place)}: answered {status}."


async def _call_hook(
    outcome: RunOutcome, run: RunDir, settings: NotifySettings, env: dict[str, str]
) -> str:
    if not settings.on_complete:
        return "on_complete: none is set."
    report = run.phase("report") / "report.html"
    told = {
        **env,
        "SO8T_RUN": str(run.root),
        "SO8T_OUTCOME": outcome,
        "SO8T_REPORT": str(report) if report.is_file() else "",
    }
    log = run.logs / "on_complete.log"
    result = await _finish(settings.on_complete, told, log, settings.on_complete_timeout_s)
    return f"on_complete: {plain_text(settings.on_complete[0], limit=80)}: {result} ({log.name})."


async def _finish(
    command: tuple[str, ...] | list[str], env: dict[str, str], log: Path | None, timeout_s: float
) -> str:
    """Run a command to its end in a session of its own; say how it ended.

    Its output goes to `log` (None: nowhere). After `timeout_s` its whole process group is killed.
    """
    output = log or Path(os.devnull)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        return f"could not be started: {error}"
    try:
        async with asyncio.timeout(timeout_s):
            code = await process.wait()
    except TimeoutError:
        _kill_group(process)
        await process.wait()
        return f"ended after its {timeout_s:g} s were over"
    except asyncio.CancelledError:
        _kill_group(process)
        await process.wait()
        raise
    return "ok" if code == 0 else f"exit code {code}"


def _kill_group(process: asyncio.subprocess.Process) -> None:
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return

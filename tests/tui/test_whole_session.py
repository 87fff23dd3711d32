"""A whole session with the keyboard alone, in a real terminal: tmux types and looks."""

import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0


class Tmux:
    """A terminal of 120 x 40 with a shell in it, on a server of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = f"so8t-{uuid.uuid4().hex[:12]}"
        self._folder = folder
        self._tmux("-f", os.devnull, "new-session", "-d", "-x", "120", "-y", "40", "sh")
        settings = {
            "PYTHONPATH": str(ROOT),
            "SO8T_LANG": "en",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PS1": "READY> ",
        }
        told = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        self.line(f"cd {shlex.quote(str(folder))}; unset COLUMNS LINES; export {told}; clear")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-L", self._socket, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names."""
        self._tmux("send-keys", *keys)

    def line(self, text: str) -> None:
        """Type a line."""
        self._tmux("send-keys", "-l", text)
        self.press("Enter")

    def picture(self) -> str:
        """What stands in the terminal."""
        return self._tmux("capture-pane", "-p")

    def until(self, holds: Callable[[str], bool], what: str) -> None:
        """Wait until the picture is as wished."""
        end = time.monotonic() + PATIENCE_S
        while not holds(self.picture()):
            assert time.monotonic() < end, f"{what} did not come:\n{self.picture()}"
            time.sleep(0.1)

    def sees(self, *texts: str) -> None:
        """Wait until all the texts stand there."""
        for text in texts:
            self.until(lambda picture, text=text: text in picture, repr(text))

    def press_until(self, key: str, holds: Callable[[str], bool]) -> None:
        """Press a key now and then: a long text takes a moment to be laid out."""
        end = time.monotonic() + PATIENCE_S
        while not holds(self.picture()):
            assert time.monotonic() < end, f"{key} did not do it:\n{self.picture()}"
            self.press(key)
            time.sleep(0.5)

    def close(self) -> None:
        """End the terminal and its server."""
        self._tmux("kill-server")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    terminal = Tmux(tmp_path)
    yield terminal
    terminal.close()


@pytest.mark.long
def test_a_demo_is_started_paused_resumed_left_and_read_by_keyboard(
    tmux: Tmux, tmp_path: Path
) -> None:
    so8t = f"{shlex.quote(sys.executable)} -m so8t_core.cli"
    tmux.line(f"{so8t} demo --tiny --set crawl.delay_s=0.2")
    tmux.sees("▸ crawl", "running")
    tmux.press("2")
    tmux.sees("Newest pages")
    tmux.press("Space")
    tmux.sees("ǁ paused", "Press space to go on")
    tmux.press("Space")
    tmux.sees("▸ running")
    tmux.press("5")
    tmux.sees("▸ train", "Learning rate")
    tmux.press("Space")
    tmux.until(lambda text: "ǁ paused" in text or "✓ train" in text, "the pause")
    tmux.press("d")
    tmux.sees("goes on in the background", "READY>")
    run = next((tmp_path / "runs").iterdir())
    tmux.line("clear")
    tmux.line(f"{so8t} --run {run.name}")
    tmux.sees("1 Overview", "✓ crawl")
    tmux.until(lambda text: "space Resume" in text or "✓ train" in text, "the way on")
    if "space Resume" in tmux.picture():
        tmux.press("Space")
    tmux.sees("✓ report")
    tmux.press("7")
    tmux.sees("SO8T report", "Purpose and limits")
    tmux.press_until("G", lambda text: "This run turned public web pages" not in text)
    tmux.press("q")
    tmux.sees("READY>")
    tmux.line("stty -a | grep -c -- ' -echo '")
    tmux.sees("0")

"""A recording of the interface: the small demo, driven by keys in a pseudo-terminal.

    python benchmarks/recording.py docs/images/session.cast

Writes an asciicast of version 2 (a header line, then a line for each piece of output, with its time
in seconds), which `asciinema play` shows. Nothing leaves the machine: the demo fetches from a site
of its own on loopback.
"""

from __future__ import annotations

import argparse
import codecs
import json
import sys
import tempfile
import time
from pathlib import Path

from terminal import Terminal

COLUMNS, ROWS = 100, 30
LONGEST_PAUSE_S = 1.5
"""Longer waits are shortened, in the file and by players."""
LOOK_S = 2.0


class Recorded(Terminal):
    """A terminal whose output is kept with the time at which it came."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.pieces: list[tuple[float, str]] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        super().__init__(command, columns=COLUMNS, rows=ROWS, environment=environment)

    def read(self, timeout_s: float) -> bytes:
        piece = super().read(timeout_s)
        if text := self._decoder.decode(piece):
            self.pieces.append((time.monotonic() - self.began, text))
        return piece

    def sees(self, text: str) -> None:
        """Wait until a text stands on the screen, then leave it there for a look."""
        self.until(lambda picture: text in picture, timeout_s=240)
        self.drain(LOOK_S)

    def press(self, keys: str, then: str) -> None:
        """Press keys and wait for what they bring."""
        self.type(keys)
        self.sees(then)


def play(terminal: Recorded) -> None:
    """The session: look around, pause the crawl, watch the training, read the report, leave."""
    terminal.sees("crawl running")
    terminal.press("2", "Newest pages")
    terminal.press(" ", "paused")
    terminal.press(" ", "running")
    terminal.press("?", "Keys")
    terminal.press("\x1b", "Newest pages")
    terminal.press("3", "Funnel")
    terminal.press("5", "Loss")
    terminal.sees("train running")
    terminal.drain(3 * LOOK_S)
    terminal.press("4", "Rotation angle")
    terminal.press("9", "Load, %")
    terminal.press("1", "Phases")
    terminal.sees("Done in")
    terminal.type("7")
    terminal.drain(3 * LOOK_S)
    terminal.type("jjjjjjjj")
    terminal.drain(LOOK_S)
    terminal.press("L", "報告")
    terminal.press("5", "勾配ノルム")
    terminal.type("q")
    terminal.drain(LOOK_S)


def written(pieces: list[tuple[float, str]], title: str) -> str:
    """The recording as text, its pauses shortened."""
    header = {
        "version": 2,
        "width": COLUMNS,
        "height": ROWS,
        "idle_time_limit": LONGEST_PAUSE_S,
        "title": title,
        "env": {"TERM": "xterm-256color"},
    }
    lines, at, before = [json.dumps(header)], 0.0, 0.0
    for came, text in pieces:
        at += min(came - before, LONGEST_PAUSE_S)
        before = came
        lines.append(json.dumps([round(at, 3), "o", text], ensure_ascii=False))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        environment = {"SO8T_LANG": "en", "XDG_CONFIG_HOME": f"{folder}/config", "LANG": "C.UTF-8"}
        command = [sys.executable, "-m", "so8t_core.cli", "demo", "--tiny"]
        with Recorded([*command, "--runs-dir", f"{folder}/runs"], environment) as terminal:
            play(terminal)
    out.write_text(written(terminal.pieces, "so8t demo --tiny"), encoding="utf-8")
    print(f"{out}: {out.stat().st_size:,} bytes, {len(terminal.pieces):,} pieces of output")


if __name__ == "__main__":
    main()

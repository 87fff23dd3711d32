"""In a real pseudo-terminal: any locale is survived, and the terminal is given back as it was."""

import fcntl
import os
import pty
import random
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest

from so8t_tui.hangup import Terminal

from .stage import make_run

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


class Session:
    """`so8t` on a run, in a pty; what it writes is kept as bytes."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.written = b""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment}
            os.execvpe(sys.executable, [sys.executable, "-m", "so8t_core.cli", *words], env)

    def _read(self) -> bool:
        if select.select([self._terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(self._terminal, 65536)
            except OSError:
                return False
            self.written += piece
            return bool(piece)
        return True

    def sees(self, text: str) -> None:
        """Read until the text came by."""
        end = time.monotonic() + PATIENCE_S
        while text.encode() not in self.written:
            assert self._read(), f"it ended:\n{self.written[-2000:]!r}"
            assert time.monotonic() < end, f"{text} did not come:\n{self.written[-2000:]!r}"

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as from a window manager."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def breathe(self) -> None:
        """Read what is there, so that the terminal does not stand still."""
        while select.select([self._terminal], [], [], 0.02)[0]:
            assert self._read()

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._terminal, keys.encode())

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self._pid, number)

    def threads(self) -> int:
        """How many threads it has."""
        return int(psutil.Process(self._pid).num_threads())

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._terminal)

    def ended_by(self, patience_s: float) -> bool:
        """Whether it ends in that time; it is killed where it does not."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                return True
            time.sleep(0.05)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return False

    def end(self) -> int:
        """Read to the end; the exit code."""
        end = time.monotonic() + PATIENCE_S
        while self._read() and time.monotonic() < end:
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def restored(written: bytes) -> bool:
    """Whether the last words leave the other screen, show the cursor and let the mouse go."""
    return all(
        written.rfind(undone) > written.rfind(done)
        for done, undone in (
            (b"\x1b[?1049h", b"\x1b[?1049l"),
            (b"\x1b[?25l", b"\x1b[?25h"),
            (b"\x1b[?1000h", b"\x1b[?1000l"),
        )
    )


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"LC_ALL": "C.UTF-8"}, "Resume"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "This terminal is"),
    ],
    ids=["utf-8", "ascii"],
)
def test_the_terminal_is_restored_in_any_locale(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    run = make_run(tmp_path, "crawl")
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "SO8T_LANG": "en"}
    session = Session("--run", str(run.root), **home, **environment)
    session.sees(told)
    session.press("q")
    assert session.end() == 0
    assert restored(session.written)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_a_terminated_interface_restores_the_terminal(tmp_path: Path, number: int) -> None:
    run = make_run(tmp_path, "crawl")
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "SO8T_LANG": "en"}
    session = Session("--run", str(run.root), **home)
    session.sees("Resume")
    session.signal(number)
    session.end()
    assert restored(session.written)


def test_an_interface_whose_terminal_is_gone_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "SO8T_LANG": "en"}
    session = Session("--run", str(run.root), **home)
    session.sees("Resume")
    session.press("2345" * 60)  # more to paint than Textual's writer takes without reading
    session.hang_up()
    assert session.ended_by(PATIENCE_S)


def test_going_on_without_having_been_suspended_changes_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "SO8T_LANG": "en"}
    session = Session("--run", str(run.root), **home)
    session.sees("Resume")
    threads = session.threads()
    for _ in range(3):  # a terminal that hangs up sends it too
        session.signal(signal.SIGCONT)
    session.press("?")
    session.sees("Next tab")
    assert session.threads() == threads
    session.press("?q")
    assert session.end() == 0


def test_a_terminal_that_is_gone_takes_what_is_written() -> None:
    reading, writing = os.pipe()
    gone: list[bool] = []
    with open(writing, "w") as file:
        terminal = Terminal(file, lambda: gone.append(True))
        assert terminal.write("one") == 3
        terminal.flush()
        assert os.read(reading, 9) == b"one"
        os.close(reading)
        for _ in range(3):
            assert terminal.write("two") == 3
            terminal.flush()
        assert gone == [True]
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # what is left goes there


def test_a_storm_of_sizes_and_clicks_anywhere_is_survived(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "SO8T_LANG": "en"}
    session = Session("--run", str(run.root), **home)
    session.sees("Resume")
    chance = random.Random(4)
    for _ in range(60):
        columns, rows = chance.choice([(10, 5), (250, 70), (chance.randint(1, 250), 24)])
        session.resize(columns, rows)
        x, y = chance.choice([1, columns, columns + 1, 9999]), chance.choice([1, rows, 9999])
        for button in (0, 35, 64, 65):
            session.press(f"\x1b[<{button};{x};{y}M\x1b[<{button};{x};{y}m")
        session.press(chance.choice("123456789"))
        session.breathe()
    session.resize(80, 24)
    session.press("1")
    session.written = b""
    session.press("?")
    session.sees("Next tab")
    session.press("?dq")
    assert session.end() == 0
    assert b"\x1b[?1049l" in session.written


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    session = Session("--runs-dir", str(run.root.parent), TERM="dumb")
    session.sees("demo-finished")
    assert session.end() == 0
    assert b"\x1b" not in session.written

"""What the terminal interface costs, measured from outside through a pseudo-terminal.

    python benchmarks/tui.py --out tui.json [--only footer keys ...] [--quick]

Each figure stands beside its bar. Journals are written by `event_load.py`; what a key does is timed
from the write into the terminal to the moment at which its text has been read back from it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from event_load import opening, stream, write_run
from terminal import Terminal

from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.series import Series
from so8t_core.contract.snapshot import save_snapshot
from so8t_core.contract.watch import Watch

HERE = Path(__file__).parent
CLI = [sys.executable, "-m", "so8t_core.cli"]
BARE = """
from textual.app import App
from textual.widgets import Label
class Bare(App):
    def compose(self):
        yield Label("bare label")
Bare().run()
"""
BURN = "while True: pass"
ROUNDS = 7
SOAK_STEP_S = 10.0
SOAK_READINGS = 30
TABS = {"1": "Newest log", "2": "Answers", "3": "Funnel", "4": "Verification", "5": "Learning"}
ENV = {"SO8T_LANG": "en", "XDG_CONFIG_HOME": "/nonexistent", "SO8T_NO_HINT": "1"}


@dataclass(frozen=True)
class Scale:
    """How much is measured; `--quick` tries the benchmark itself."""

    keys: int = 100
    live_s: float = 20.0
    idle_s: float = 30.0
    long_events: int = 1_000_000
    attach_events: int = 100_000
    points: int = 1_000_000
    soak_s: float = 3600.0
    soak_rate: float = 500.0


QUICK = Scale(20, 5.0, 5.0, 50_000, 100_000, 1_000_000, 240.0)


def _interface(run: RunDir, columns: int = 80, rows: int = 24) -> Terminal:
    command = [*CLI, "--runs-dir", str(run.root.parent), "--run", str(run.root)]
    return Terminal(command, columns=columns, rows=rows, environment=ENV)


def _p(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def _engine(run: RunDir, rate: float, seconds: float = 600) -> Iterator[None]:
    command = [sys.executable, str(HERE / "event_load.py"), str(run.root), "--rate", str(rate)]
    process = subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1.0)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _busy_cores(count: int) -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-S", "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def footer(place: Path, scale: Scale) -> dict[str, Any]:
    """Start to painted footer, and the same for a bare Textual app; medians, taking turns."""
    del scale
    run = RunDir(place / "footer")
    write_run(run, 500, finished=True)
    ours, bare = [], []
    for _ in range(ROUNDS):
        with Terminal([sys.executable, "-c", BARE], environment=ENV) as terminal:
            bare.append(terminal.wait_for("bare label"))
        with _interface(run) as terminal:
            ours.append(terminal.wait_for("Quit"))
    middle, plain = statistics.median(ours), statistics.median(bare)
    bar = max(0.6, 1.25 * plain)
    return {"median_s": middle, "bare_s": plain, "bar_s": bar, "met": middle <= bar}


def _press_all(terminal: Terminal, count: int) -> list[float]:
    chance, names = random.Random(5), list(TABS)
    for name in names:  # each tab is built once, outside of the measurement
        terminal.type(name)
        terminal.wait_for(TABS[name])
        terminal.drain(0.3)
    times = []
    for number in range(count):
        name = names[number % len(names)]
        terminal.drain(0.1 + 0.2 * chance.random())
        terminal.type(name)
        times.append(terminal.wait_for(TABS[name]))
        terminal.picture()
    return times


def keys(place: Path, scale: Scale) -> dict[str, Any]:
    """Key to screen while an engine journals, and with both cores taken by others."""
    result: dict[str, Any] = {}
    for name, rate, burners, bar in (
        ("quiet_engine", 10, 0, 0.060),
        ("2000_events_s", 2_000, 0, 0.060),
        ("20000_events_s", 20_000, 0, 0.100),
        ("2000_events_s_busy_cores", 2_000, psutil.cpu_count() or 2, 0.100),
    ):
        run = RunDir(place / f"keys-{name}")
        write_run(run, 2_000)
        with _engine(run, rate), _busy_cores(burners), _interface(run) as terminal:
            terminal.wait_for("Quit")
            times = _press_all(terminal, scale.keys)
            rss = terminal.process.memory_info().rss / 1e6
        p95 = _p(times, 0.95)
        result[name] = {
            "p50_ms": 1e3 * _p(times, 0.5),
            "p95_ms": 1e3 * p95,
            "max_ms": 1e3 * max(times),
            "bar_ms": 1e3 * bar,
            "rss_mb": rss,
            "met": p95 <= bar,
        }
    return result


def idle(place: Path, scale: Scale) -> dict[str, Any]:
    """Processor time and bytes of an interface that shows a finished run."""
    run = RunDir(place / "idle")
    write_run(run, 5_000, finished=True)
    with _interface(run) as terminal:
        terminal.wait_for("Quit")
        terminal.drain(6.0)
        before, began = terminal.process.cpu_times(), time.monotonic()
        written = terminal.drain(scale.idle_s)
        after, took = terminal.process.cpu_times(), time.monotonic() - began
    used = after.user + after.system - before.user - before.system
    percent = 100 * used / took
    met = percent <= 0.3 and written == 0
    return {"cpu_percent": percent, "bytes": written, "bar_percent": 0.3, "met": met}


def memory(place: Path, scale: Scale) -> dict[str, Any]:
    """Resident memory of one interface while a journal grows to a few million events.

    At each mark every tab is opened once and looked at for a while. What is built and remembered at
    first (tabs, series up to their limit, caches, the allocator's spare room) is there after the
    first two marks; from there on it has to stay.
    """
    marks = [scale.long_events * n // 2 for n in range(1, 9)]
    sizes = []
    run = RunDir(place / "memory")
    with _growing_run(run) as lengthen, _interface(run, 120, 40) as terminal:
        terminal.wait_for("Quit")
        for mark in marks:
            lengthen(mark)
            _read_all(terminal)
            for tab in "1234567891":
                terminal.type(tab)
                terminal.drain(1.5)
            sizes.append(terminal.process.memory_info().rss / 1e6)
    millions = [mark / 1e6 for mark in marks]
    return {"events": marks, **_flat(sizes, millions, "mb_per_million", warm=2)}


def soak(place: Path, scale: Scale) -> dict[str, Any]:
    """Resident memory beside a working engine for an hour, a tab opened every ten seconds.

    Read every thirtieth of it; the first five readings are of an interface that still fills its
    series and caches, and do not count. Only on request, since it takes its time.
    """
    run = RunDir(place / "soak")
    write_run(run, 2_000)
    sizes, minutes = [], []
    steps = int(scale.soak_s / SOAK_STEP_S)
    began = time.monotonic()
    with _engine(run, scale.soak_rate, 2 * scale.soak_s), _interface(run, 120, 40) as terminal:
        terminal.wait_for("Quit")
        for number in range(1, steps + 1):
            terminal.type("123456789"[number % 9])
            terminal.drain(SOAK_STEP_S)
            if number % max(1, steps // SOAK_READINGS) == 0:
                sizes.append(terminal.process.memory_info().rss / 1e6)
                minutes.append((time.monotonic() - began) / 60)
    flat = _flat(sizes, minutes, "mb_per_minute", warm=SOAK_READINGS // 6)
    return {"minutes": minutes, "events_per_s": scale.soak_rate, **flat}


def _flat(sizes: list[float], places: list[float], unit: str, warm: int) -> dict[str, Any]:
    """The readings after `warm` of them by a straight line, and how much it rises from end to end.

    A single reading wavers by a megabyte or two, with what the allocator holds at that moment.
    """
    slope, _ = statistics.linear_regression(places[warm:], sizes[warm:])
    growth = slope * (places[-1] - places[warm])
    return {
        "rss_mb": sizes,
        "readings_before_the_line": warm,
        f"slope_{unit}": slope,
        "growth_mb": growth,
        "bar_mb": 100,
        "bar_growth_mb": 2,
        "met": max(sizes) <= 100 and growth <= 2,
    }


def _read_all(terminal: Terminal) -> None:
    """Wait until the interface has nothing left to read: three seconds with hardly any work."""
    before = None
    while True:
        terminal.drain(3.0)
        times = terminal.process.cpu_times()
        now = times.user + times.system
        if before is not None and now - before < 0.3:
            return
        before = now


@contextmanager
def _growing_run(run: RunDir) -> Iterator[Callable[[int], None]]:
    """A run without an engine, and a function that lengthens its journal to so many events."""
    write_run(run, len(opening()))
    source = stream()
    with JournalWriter(run.journal) as journal:

        def lengthen(total: int) -> None:
            while journal.last_seq < total:
                journal.append(itertools.islice(source, min(20_000, total - journal.last_seq)))

        yield lengthen


def attach(place: Path, scale: Scale) -> dict[str, Any]:
    """From Enter on the list of runs to painted panels, with the engine's snapshot and without."""
    result: dict[str, Any] = {"events": scale.attach_events, "bar_s": 0.7}
    for kind in ("snapshot", "no_snapshot"):
        run = RunDir(place / f"attach-{kind}" / "long")
        write_run(run, scale.attach_events, finished=True)
        watch = Watch(run)
        state = watch.catch_up()
        watch.close()
        if kind == "snapshot":
            save_snapshot(run, state)
        final = f"{state.phases['crawl'].done:,.0f}/5,000"
        command = [*CLI, "--runs-dir", str(run.root.parent)]
        times = []
        for _ in range(5):
            with Terminal(command, environment=ENV) as terminal:
                terminal.wait_for("Open")
                terminal.until(lambda text: "done" in text)
                terminal.drain(0.5)
                terminal.type("\r")
                times.append(terminal.wait_for(final, "Machine"))
        result[f"{kind}_s"] = statistics.median(times)
    result["met"] = result["snapshot_s"] <= 0.7
    return result


def output(place: Path, scale: Scale) -> dict[str, Any]:
    """Bytes a second that a live run sends to the terminal, tab by tab."""
    run = RunDir(place / "output")
    write_run(run, 2_000)
    rates = {}
    with _engine(run, 2_000), _interface(run, 120, 40) as terminal:
        terminal.wait_for("Quit")
        for key in TABS:
            terminal.type(key)
            terminal.drain(2.0)
            rates[key] = terminal.drain(scale.live_s) / scale.live_s / 1024
    worst = max(rates.values())
    return {"kib_per_s": rates, "bar_kib_per_s": 60, "met": worst <= 60}


def chart(place: Path, scale: Scale) -> dict[str, Any]:
    """Frames a second of a chart of very many points that is panned."""
    del place
    from so8t_tui.curve import View
    from so8t_tui.plot import Curve, Manner, picture

    chance, value = random.Random(3), 5.0
    steps, values = [], []
    for step in range(scale.points):
        value += chance.gauss(0, 0.01)
        steps.append(float(step))
        values.append(value)
    curve = Curve("loss", Series(steps, values))
    began = time.perf_counter()
    picture((curve,), 180, 40, Manner())
    first = time.perf_counter() - began
    frames, began = 60, time.perf_counter()
    view = View().zoomed(0.5)
    for number in range(frames):
        view = view.panned(0.01 if number % 2 else -0.02)
        picture((curve,), 180, 40, Manner(view=view))
    fps = frames / (time.perf_counter() - began)
    return {
        "points": scale.points,
        "first_frame_s": first,
        "frames_per_s": fps,
        "bar_frames_per_s": 10,
        "met": fps >= 10,
    }


PARTS: dict[str, Callable[[Path, Scale], dict[str, Any]]] = {
    "footer": footer,
    "keys": keys,
    "idle": idle,
    "memory": memory,
    "attach": attach,
    "output": output,
    "chart": chart,
    "soak": soak,
}
ON_REQUEST = frozenset({"soak"})


def main() -> None:
    """Measure what is asked for and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else Scale()
    result: dict[str, Any] = {
        "machine": {"cores": psutil.cpu_count(), "load": os.getloadavg()[0]},
        "python": sys.version.split()[0],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only or [part for part in PARTS if part not in ON_REQUEST]:
            result[name] = PARTS[name](Path(folder) / name, scale)
            print(json.dumps({name: result[name]}, indent=2), flush=True)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

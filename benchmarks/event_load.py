"""Journals as a busy engine writes them, for measuring what watches them.

    python benchmarks/event_load.py RUN_DIR --rate 2000 --seconds 30

plays the engine of a run: it holds the lock, beats, and journals events at that rate.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.lock import EngineLock
from so8t_core.contract.rundir import RunDir

BATCH_S = 0.02
PAGES = 5_000
STEPS = 1_000_000


def opening() -> list[Draft]:
    """The first events of a run whose crawl is done and whose training begins."""
    engine = {"pid": 1, "boot_id": "b", "host": "bench", "version": "0"}
    return [
        Draft("run_created", {"settings_sha256": "0" * 64, "version": "0"}),
        Draft("engine_started", engine),
        Draft("phase_started", {"attempt": 1, "pid": 2}, "crawl"),
        Draft("phase_started", {"attempt": 1, "pid": 3}, "train"),
    ]


def _crawl(n: int, chance: random.Random) -> Iterator[Draft]:
    host = f"host{n % 12}.example.jp"
    page = {"item": "page", "text": f"https://{host}/記事/{n}", "status": 200, "size": 18_000 + n}
    yield Draft("item", page, "crawl")
    hosts = {f"host{i}.example.jp": f"waiting {chance.random():.1f} s: delay" for i in range(12)}
    stats = {
        "pages_per_s": 20 + chance.random(),
        "status": {"2xx": n, "4xx": n // 20},
        "refusals": {"robots": n // 9, "noindex": n // 50},
        "hosts": hosts,
    }
    yield Draft("stats", {"values": stats}, "crawl")
    told = {"done": n % PAGES, "total": PAGES, "unit": "pages", "message": host}
    yield Draft("progress", told, "crawl")


def _train(n: int, chance: random.Random) -> Iterator[Draft]:
    loss = 3 * math.exp(-n / 4e4) + 1.9 + chance.gauss(0, 0.05)
    points = [
        ["loss", n, loss],
        ["learning_rate", n, 2e-4 * math.cos(n / STEPS) ** 2],
        ["grad_norm", n, abs(chance.gauss(1, 0.3))],
        ["tokens_per_s", n, 480 + 20 * chance.random()],
    ]
    yield Draft("metrics", {"points": points}, "train")
    yield Draft("stats", {"values": {"eta_s": STEPS - n, "epoch": n / 1000}}, "train")
    progress = {"done": n, "total": STEPS, "unit": "steps", "message": ""}
    yield Draft("progress", progress, "train")


def _machine(chance: random.Random) -> Draft:
    values = {
        "cpu_percent": 100 * chance.random(),
        "ram_used_gb": 6 + chance.random(),
        "ram_total_gb": 15.6,
        "engine_rss_gb": 1.1,
        "disk_free_gb": 41.0,
        "gpu0_used_gb": 9 + chance.random(),
        "gpu0_total_gb": 12.0,
        "gpu0_util_percent": 90 + 10 * chance.random(),
    }
    return Draft("resources", {"values": values})


def stream(seed: int = 8) -> Iterator[Draft]:
    """Events without end: crawling and training at once, readings, and a line of log in ten."""
    chance = random.Random(seed)
    for n in itertools.count(1):
        yield from _crawl(n, chance)
        yield from _train(n, chance)
        yield _machine(chance)
        line = {"level": "info" if n % 7 else "warning", "message": f"line {n} of the log"}
        yield Draft("log", line, "train")


def write_run(run: RunDir, events: int, *, finished: bool = False) -> None:
    """A run whose journal holds so many events; a finished one says so at its end."""
    run.root.mkdir(parents=True)
    run.logs.mkdir()
    run.settings_file.write_text("name: bench\n", encoding="utf-8")
    source = stream()
    with JournalWriter(run.journal) as journal:
        journal.append(opening())
        while journal.last_seq < events:
            journal.append(itertools.islice(source, min(20_000, events - journal.last_seq)))
        if finished:
            journal.append(
                [
                    Draft("run_finished", {"outcome": "done", "message": ""}),
                    Draft("engine_stopped", {"exit_code": 0, "reason": "done"}),
                ]
            )


def play(run: RunDir, rate: float, seconds: float) -> int:
    """Hold the run and journal at the rate; returns how many events were written."""
    lock = EngineLock(run)
    lock.acquire()
    source, began, written = stream(), time.monotonic(), 0
    with JournalWriter(run.journal) as journal:
        while (elapsed := time.monotonic() - began) < seconds:
            due = int(rate * elapsed) - written
            journal.append(itertools.islice(source, due))
            written += due
            run.heartbeat.touch()
            time.sleep(BATCH_S)
    lock.release()
    return written


def main() -> None:
    """Parse the command line and play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    print(play(RunDir(arguments.run.absolute()), arguments.rate, arguments.seconds))


if __name__ == "__main__":
    main()

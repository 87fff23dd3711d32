"""A frontier of a million URLs: how fast it takes them in and hands them out, and its memory.

    python benchmarks/crawl_frontier.py --urls 1000000 --json frontier.json

URLs come in pages of twenty links over a thousand hosts, a third of them seen before; then one wave
of all of them is opened and worked off. Memory is the process's resident set after each tenth.
Exits with 1 where a bar is missed: 150 MB, and no more than a tenth above the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.waves import Budgets

HOSTS = 1_000
LINKS = 20
PAGES_A_COMMIT = 200
URLS_A_COMMIT = 2_000
MEMORY_BAR_MB = 150.0
GROWTH_BAR = 0.10


def resident_mb() -> float:
    """Resident memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def take_in(frontier: Frontier, urls: int) -> Iterator[tuple[int, float]]:
    """Add so many URLs; after each tenth how many there are, and the memory."""
    dice = random.Random(1)
    new, pages = 0, 0
    while new < urls:
        found = []
        for _ in range(LINKS):
            number = new if dice.random() > 1 / 3 or not new else dice.randrange(new)
            new += number == new
            host = f"host{number % HOSTS}.example"
            url = f"http://{host}/articles/{number * 7919 % 10_000_019}/page.html"
            found.append((url, host, 2, None))
            if new % (urls // 10) == 0 and number == new - 1:
                yield new, resident_mb()
            if new == urls:
                break
        frontier.add(found, depth=1)
        pages += 1
        if pages % PAGES_A_COMMIT == 0:
            frontier.commit()
    frontier.commit()


def work_off(frontier: Frontier, urls: int) -> Iterator[tuple[int, float]]:
    """Hand out and settle every URL of the open wave, host by host in turn."""
    hosts = frontier.wave_hosts()
    done = 0
    why = Refusal("http-404", "server", "Not Found")
    while hosts:
        left = []
        for host in hosts:
            entry = frontier.next(host, 0.0)
            if entry is None:
                continue
            left.append(host)
            frontier.fail(entry, why)
            done += 1
            if done % URLS_A_COMMIT == 0:
                frontier.commit()
            if done % (urls // 10) == 0:
                yield done, resident_mb()
        hosts = left
    frontier.commit()


def told(what: str, tenths: Iterator[tuple[int, float]]) -> list[tuple[int, float]]:
    """All tenths, each shown on standard error as it comes."""
    started = time.perf_counter()
    seen = []
    for done, mb in tenths:
        seen.append((done, mb))
        seconds = time.perf_counter() - started
        print(f"{done} {what} after {seconds:.1f} s, {mb:.1f} MB", file=sys.stderr, flush=True)
    return seen


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    limits = {"max_urls_per_query_page": 10**9, "max_urls_per_calendar": 10**9}
    budgets = Budgets(10**9, lambda _: None, lambda _: None, limits)
    with tempfile.TemporaryDirectory(prefix="so8t-frontier-") as folder:
        path = Path(folder) / "frontier.db"
        with Frontier(path, "benchmark") as frontier:
            started = time.perf_counter()
            growing = told("taken in", take_in(frontier, arguments.urls))
            taken_s = time.perf_counter() - started
            started = time.perf_counter()
            asyncio.run(frontier.open_wave(budgets))
            opened_s = time.perf_counter() - started
            started = time.perf_counter()
            shrinking = told("handed out", work_off(frontier, arguments.urls))
            worked_s = time.perf_counter() - started
            counts = frontier.census.counts()
        size_mb = path.stat().st_size / 1e6
    memory = [mb for _, mb in (*growing, *shrinking)]
    figures: dict[str, Any] = {
        "urls": arguments.urls,
        "taken_in_per_s": round(arguments.urls / taken_s),
        "wave_opened_s": round(opened_s, 2),
        "handed_out_per_s": round(arguments.urls / worked_s),
        "memory_mb_by_tenth": [round(mb, 1) for mb in memory],
        "peak_mb": round(max(memory), 1),
        "growth_since_first_tenth": round(max(memory) / memory[0] - 1, 3),
        "file_mb": round(size_mb, 1),
        "failed": counts["failed"],
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    over = figures["peak_mb"] > MEMORY_BAR_MB or figures["growth_since_first_tenth"] > GROWTH_BAR
    return 1 if over or counts["failed"] != arguments.urls else 0


if __name__ == "__main__":
    sys.exit(main())

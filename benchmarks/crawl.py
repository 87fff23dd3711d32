"""How fast crawlers are on one machine: ours beside Scrapy, Crawlee and a bare loop.

    python benchmarks/crawl.py --peers /tmp/peers --json crawl.json

5,000 pages on 50 loopback hosts, robots.txt obeyed, no delays, everything kept on disk, links read
by selectolax in each. A peer runs in its own environment, `PEERS/scrapy` and `PEERS/crawlee` (see
`crawl_contenders/requirements.txt`). The contenders take turns, `--rounds` times. A figure is the
median; pages/s runs from the site's first request to the end of the process, CPU and memory are
those of the process and its children. Exits with 1 where a bar is missed: 4 times the better peer's
pages/s, 150 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
CONTENDERS = ("ours", "bare", "scrapy", "crawlee")
SPEED_BAR = 4.0
MEMORY_BAR_MB = 150.0
PATIENCE_S = 300


def command(name: str, peers: Path) -> list[str]:
    """The command of a contender without its arguments."""
    scripts = HERE / "crawl_contenders"
    if name in ("ours", "bare"):
        return [sys.executable, str(scripts / f"{name}.py")]
    return [str(peers / name / "bin" / "python"), str(scripts / f"{name}_spider.py")]


def race(name: str, peers: Path, hosts: int, pages: int) -> dict[str, Any]:
    """One contender on a fresh site."""
    seen, ended_at, used = crawl_site(command(name, peers), hosts, pages)
    elapsed_s = ended_at - seen["first_at"]
    return {
        "contender": name,
        "pages": seen["pages"],
        "pages_asked_again": seen["pages_asked_again"],
        "disallowed": seen["disallowed"],
        "pages_per_s": round(seen["pages"] / elapsed_s, 1),
        "cpu_s_per_1000": round(1000 * used.cpu_s / max(1, seen["pages"]), 3),
        "peak_mb": round(used.peak_mb, 1),
    }


def crawl_site(
    words: list[str], hosts: int, pages: int, *more: str
) -> tuple[dict[str, Any], float, Used]:
    """Let a program crawl a fresh site: what the site saw, when it ended (epoch), what it used."""
    with tempfile.TemporaryDirectory(prefix="so8t-crawl-") as folder:
        report = Path(folder) / "site.json"
        serve = [sys.executable, str(HERE / "crawl_site.py"), "--report", str(report)]
        serve += ["--hosts", str(hosts), "--pages", str(pages)]
        with subprocess.Popen(
            serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as site:
            assert site.stdout is not None
            port = site.stdout.readline().strip()
            kept = Path(folder) / "kept"
            kept.mkdir()
            ended_at, used = run([*words, port, str(hosts), str(kept), *more], kept)
            site.communicate("")
        return json.loads(report.read_text()), ended_at, used


@dataclass(frozen=True)
class Used:
    """What a program and its children used."""

    cpu_s: float
    peak_mb: float


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children now; 0 where it has just ended."""
    try:
        first = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (first, *first.children(True))) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def run(words: list[str], folder: Path) -> tuple[float, Used]:
    """Run a program to its end; when it ended (epoch) and what it used."""
    log = (folder.parent / "contender.log").open("wb")
    started = time.monotonic()
    child = subprocess.Popen(words, stdout=log, stderr=log)
    peak_mb, looked = 0.0, 0.0
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - started > PATIENCE_S:
            child.kill()
        if time.monotonic() - looked > 0.1:
            looked = time.monotonic()
            peak_mb = max(peak_mb, resident_mb(child.pid))
        time.sleep(0.005)
    ended_at = time.time()
    child.returncode = os.waitstatus_to_exitcode(status)
    log.close()
    if child.returncode:
        sys.exit(f"{words} failed:\n{(folder.parent / 'contender.log').read_text()[-3000:]}")
    return ended_at, Used(usage.ru_utime + usage.ru_stime, peak_mb)


def summed_up(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The medians of a contender's rounds."""
    own = [row for row in rows if row["contender"] == name]
    figures = ("pages", "disallowed", "pages_per_s", "cpu_s_per_1000", "peak_mb")
    return {figure: statistics.median(row[figure] for row in own) for figure in figures}


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--pages", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for _ in range(arguments.rounds):
        for name in arguments.contenders:
            rows.append(race(name, arguments.peers, arguments.hosts, arguments.pages))
            print(json.dumps(rows[-1]), flush=True)
    medians = {name: summed_up(rows, name) for name in arguments.contenders}
    result: dict[str, Any] = {"rows": rows, "medians": medians}
    missed = []
    peers = [medians[name]["pages_per_s"] for name in ("scrapy", "crawlee") if name in medians]
    if peers and "ours" in medians:
        result["times_the_better_peer"] = round(medians["ours"]["pages_per_s"] / max(peers), 2)
        missed = ["speed"] if result["times_the_better_peer"] < SPEED_BAR else []
    if "ours" in medians and medians["ours"]["peak_mb"] > MEMORY_BAR_MB:
        missed.append("memory")
    result["missed"] = missed
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

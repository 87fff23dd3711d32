"""How long a pause takes, from the wish in control.db to the event in the journal.

    python benchmarks/pause.py --rounds 3 --json pause.json

In each phase of the tiny demo a soft and a hard pause are asked for at seeded moments. Two figures
a pause: `acknowledged_s` (wish to `pause_requested`) and `paused_s` (wish to `paused`). Exits with
1 where a bar is missed: 0.5 s for the first; for the second 2.5 s in crawl and 5 s elsewhere.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from so8t_core.contract.control import Control, ControlStore, PauseMode
from so8t_core.contract.events import Event
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import list_runs
from so8t_core.contract.watch import Watch

ACKNOWLEDGED_BAR_S = 0.5
PAUSED_BAR_S = dict.fromkeys(PHASE_NAMES, 5.0) | {"crawl": 2.5}
PATIENCE_S = 120.0


def want(run: RunDir, **changes: Any) -> Control:
    """Write a wish and return it as stored."""
    with ControlStore(run.control) as store:
        return store.amend(lambda control: replace(control, **changes), who="benchmark")


def first(run: RunDir, after_ts: float, *kinds: str) -> Event | None:
    """The first event of one of the kinds since a moment."""
    with JournalReader(run.journal) as reader:
        events = reader.after(0, 10**9)
    return next((e for e in events if e.ts >= after_ts and e.kind in kinds), None)


def await_first(run: RunDir, after_ts: float, *kinds: str) -> Event:
    """The same, waited for."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        event = first(run, after_ts, *kinds)
        if event is not None:
            return event
        time.sleep(0.02)
    raise TimeoutError(f"none of {kinds} came")


def pauses(run: RunDir, chance: random.Random, longest_s: float) -> Iterator[dict[str, Any]]:
    """One soft and one hard pause in each phase that is still running when its moment comes."""
    watch = Watch(run)
    for phase in PHASE_NAMES:
        for mode in ("soft", "hard"):
            delay_s = chance.uniform(0, longest_s)
            if _reach(watch, phase, delay_s):
                yield from _pause(run, phase, mode)  # type: ignore[arg-type]
    watch.close()


def _reach(watch: Watch, phase: PhaseName, delay_s: float) -> bool:
    since = None
    while True:
        view = watch.catch_up().phases[phase]
        if view.state in {"done", "failed", "skipped"}:
            return False
        if view.state == "running":
            since = since or time.monotonic()
            if time.monotonic() - since >= delay_s:
                return True
        time.sleep(0.02)


def _pause(run: RunDir, phase: PhaseName, mode: PauseMode) -> Iterator[dict[str, Any]]:
    wish = want(run, desired="paused", mode=mode)
    acknowledged = await_first(run, wish.at, "pause_requested")
    reached = await_first(run, wish.at, "paused")
    where = reached.phase or "between phases"
    goes_on = want(run, desired="running", mode="soft")
    await_first(run, goes_on.at, "resumed", "phase_started")
    yield {
        "asked_in": phase,
        "paused_in": where,
        "mode": mode,
        "acknowledged_s": round(acknowledged.ts - wish.at, 3),
        "paused_s": round(reached.ts - wish.at, 3),
    }


def measure(folder: Path, seed: int, longest_s: float) -> list[dict[str, Any]]:
    """One tiny demo, paused all the way."""
    command = [sys.executable, "-m", "so8t_core.cli", "demo", "--tiny", "--detach"]
    subprocess.run([*command, "--runs-dir", str(folder)], check=True, stdout=subprocess.DEVNULL)
    run = list_runs(folder)[0]
    return list(pauses(run, random.Random(seed), longest_s))


def missed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows over a bar."""
    return [
        row
        for row in rows
        if row["acknowledged_s"] > ACKNOWLEDGED_BAR_S
        or row["paused_s"] > PAUSED_BAR_S[row["asked_in"]]
    ]


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=3.0, help="latest moment in a phase, s")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(Path(folder), arguments.seed + number, arguments.longest)
    for row in rows:
        print("{asked_in:<10} {mode:<5} {acknowledged_s:7.3f} s {paused_s:7.3f} s".format(**row))
    over = missed(rows)
    summary = {
        "pauses": len(rows),
        "acknowledged_s_median": statistics.median(row["acknowledged_s"] for row in rows),
        "acknowledged_s_max": max(row["acknowledged_s"] for row in rows),
        "paused_s_max": {
            name: max((row["paused_s"] for row in rows if row["asked_in"] == name), default=None)
            for name in PHASE_NAMES
        },
        "missed": over,
    }
    print(json.dumps(summary, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, **summary}, indent=2) + "\n")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())

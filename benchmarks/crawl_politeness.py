"""How close a polite crawl comes to the ideal schedule, and how fairly hosts are served.

    python benchmarks/crawl_politeness.py --delay 0.1 --json politeness.json

50 hosts of 100 pages each on loopback. The ideal: the host with the most requests is asked again
exactly one delay after each answer, the others meanwhile. Judged by the site's log. Fairness is
Jain's index over the hosts' requests at half time (1: all alike). Exits with 1 where a bar is
missed: total within 5 % of the ideal, no gap shorter than the delay.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from crawl import command, crawl_site

OVER_BAR = 0.05


def judge(times: dict[str, list[float]], delay_s: float) -> dict[str, Any]:
    """The figures of one crawl from the times of each host's requests."""
    first = min(min(own) for own in times.values())
    last = max(max(own) for own in times.values())
    ideal_s = max(len(own) - 1 for own in times.values()) * delay_s
    half = [sum(at <= (first + last) / 2 for at in own) for own in times.values()]
    gaps = [later - earlier for own in times.values() for earlier, later in pairwise(own)]
    return {
        "hosts": len(times),
        "requests": sum(map(len, times.values())),
        "total_s": round(last - first, 3),
        "ideal_s": round(ideal_s, 3),
        "over_ideal": round((last - first) / ideal_s - 1, 4),
        "fairness_at_half_time": round(sum(half) ** 2 / (len(half) * sum(n * n for n in half)), 4),
        "shortest_gap_s": round(min(gaps), 4),
        "gaps_too_short": sum(gap < delay_s for gap in gaps),
    }


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--pages", type=int, default=5_000)
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    words = command("ours", Path())
    seen, _, _ = crawl_site(words, arguments.hosts, arguments.pages, str(arguments.delay))
    figures = judge(seen["times"], arguments.delay) | {"disallowed": seen["disallowed"]}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    missed = figures["over_ideal"] > OVER_BAR or figures["gaps_too_short"] > 0
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

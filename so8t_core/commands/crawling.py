"""`so8t crawl`: the phase alone, why a URL was fetched or not, and what has been kept too long."""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import closing

from so8t_core.commands.alone import phase
from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, RunBusy, UsageError
from so8t_core.contract.lock import engine_liveness
from so8t_core.contract.plain import plain_text
from so8t_core.contract.runs import find_run, run_settings


def crawl(arguments: Namespace) -> int:
    """`so8t crawl (-c FILE | --run RUN)`, `so8t crawl explain URL`, `so8t crawl expire`."""
    if arguments.what == "explain":
        return _explain(arguments)
    if arguments.what == "expire":
        return _expire(arguments)
    return phase(arguments)


def _explain(arguments: Namespace) -> int:
    """Every rule that decides about a URL; with a run also what became of it."""
    from so8t_core.crawl.earlier import FRONTIER_NAME
    from so8t_core.crawl.explain import Records, explain

    if arguments.url is None:
        raise UsageError(
            "`so8t crawl explain` needs a URL.",
            hint="For example: so8t crawl explain https://www.example.jp/ --run RUN",
        )
    if arguments.config is not None:
        settings = load_settings(arguments.config, arguments.set, section="crawl").crawl
        path = None
    else:
        run = find_run(arguments.in_run, arguments.runs_dir)
        settings = run_settings(run).crawl
        path = run.phase("crawl") / FRONTIER_NAME
    with closing(Records(path)) as records:
        findings = explain(arguments.url, settings, records, ask=arguments.ask)
    if arguments.json:
        print(json.dumps([vars(finding) for finding in findings], ensure_ascii=False, indent=2))
        return EXIT_DONE
    for finding in findings:
        beside = ", ".join(filter(None, (finding.source, finding.at)))
        words = plain_text(finding.answer) + (f"  ({plain_text(beside)})" if beside else "")
        print(f"{finding.question:<15} {words}")
    return EXIT_DONE


def _expire(arguments: Namespace) -> int:
    """Remove a run's WARC files beyond `crawl.warc_retention_days`."""
    from so8t_core.crawl.earlier import WARC_FOLDER
    from so8t_core.crawl.retention import expired, remove

    run = find_run(arguments.in_run, arguments.runs_dir)
    days = run_settings(run).crawl.warc_retention_days
    if days is None:
        print("crawl.warc_retention_days is not set: nothing is removed.")
        return EXIT_DONE
    holder = engine_liveness(run)
    if holder.alive:
        raise RunBusy(
            "An engine holds the run.",
            where=str(run.root),
            hint="Wait until it is done, or stop it with `so8t stop`.",
        )
    old = expired(run.phase("crawl") / WARC_FOLDER, days)
    size_bytes = remove(old)
    print(f"Removed {len(old)} WARC files older than {days} days ({size_bytes:,} bytes).")
    if old:
        print("A resume of this run crawls again; what was made of the pages is kept.")
    return EXIT_DONE

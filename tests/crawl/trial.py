"""Running the crawl phase in tests.

As a program (`python -m tests.crawl.trial ROOT SETTINGS_JSON`) it runs in a process of its own, to
be killed, prints the digest and leaves its peak memory in `ROOT/peak_mb`. There, rebinding.example
is a name that has a public address when it is asked for first, and then that of this machine.
"""

from __future__ import annotations

import errno
import json
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.crawl import guard
from so8t_core.phases import crawl
from so8t_core.phases.base import Outcome, PauseGate, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter

from .site import Site


def context(root: Path, gate: PauseGate | None = None, **crawl_settings: Any) -> PhaseContext:
    """A context whose crawl section is given."""
    (root / "crawl").mkdir(parents=True, exist_ok=True)
    settings = Settings.model_validate({"crawl": crawl_settings})
    return PhaseContext(RunDir(root), "crawl", settings, {}, RecordingEmitter(), gate or OpenGate())


def quick(site: Site, *seeds: str, **more: Any) -> dict[str, Any]:
    """Settings that crawl a test site without waiting."""
    return {
        "source": "web",
        "seeds": seeds or ("http://a.example/",),
        "allowed_hosts": tuple(sorted({url.split("/")[2] for url in site.answers})),
        "resolve": site.resolve,
        "contact": "test@example.org",
        "delay_s": 0.0,
        "adaptive_delay": 0.0,
        "retry_base_s": 0.05,
        **more,
    }


def run_crawl(root: Path, site: Site, *seeds: str, **more: Any) -> Outcome:
    """Run the phase on a test site."""
    return crawl.run(context(root, **quick(site, *seeds, **more)))


def index(root: Path) -> list[dict[str, Any]]:
    """The page index."""
    lines = (root / "crawl" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def kept(root: Path) -> list[str]:
    """URLs of the kept pages."""
    return [page["url"] for page in index(root)]


def outcome_of(root: Path, url: str) -> tuple[str, str | None, str | None]:
    """State, rule and source of a URL in the frontier."""
    with sqlite3.connect(root / "crawl" / "frontier.db") as db:
        row = db.execute("SELECT state, rule, source FROM urls WHERE url = ?", (url,)).fetchone()
    db.close()
    assert row is not None, f"{url} was never seen"
    return row[0], row[1], row[2]


REBINDING = "rebinding.example"
_PUBLIC = "8.8.8.8"


class _RebindingNames(ThreadedResolver):
    """A resolver with a name that moves inward after the first look."""

    _looks = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host != REBINDING:
            return await super().resolve(host, port, family)
        self._looks += 1
        address = _PUBLIC if self._looks == 1 else "127.0.0.1"
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]


class _HomeBound(guard.Guard):
    """The guard on a machine from which the public address cannot be reached."""

    def open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        opened = super().open_socket(address)
        if address[4][0] == _PUBLIC:
            opened.close()
            raise OSError(errno.ENETUNREACH, "no network in tests")
        return opened


if __name__ == "__main__":
    guard.ThreadedResolver = _RebindingNames  # type: ignore[attr-defined]
    crawl.Guard = _HomeBound  # type: ignore[attr-defined]
    print(crawl.run(context(Path(sys.argv[1]), **json.loads(sys.argv[2]))).digest)
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    (Path(sys.argv[1]) / "peak_mb").write_text(f"{peak_kb / 1000:.1f}")

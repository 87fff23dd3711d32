"""The whole pipeline on real Japanese pages: Debian's documentation, served on loopback.

    python benchmarks/real_site.py --out runs/real --json real_site.json

Downloads five Debian packages with `apt-get download` (or takes unpacked ones from --unpacked),
serves their Japanese pages under fixed host names, and runs all eight phases on them with the
starter model, through the same command that a user types. While it runs, pictures of the interface
are taken. Prints its figures as JSON; each comes from a manifest of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import list_runs
from so8t_core.contract.state import RunState
from so8t_core.contract.watch import Watch

ROOT = Path(__file__).resolve().parents[1]
ROBOTS = "User-agent: *\nDisallow: /private/\n"
POLL_S = 0.5


@dataclass(frozen=True)
class Site:
    """One package's pages: the host it is served under, the folder, and the page to start at."""

    package: str
    host: str
    folder: str
    index: str


SITES = (
    Site("debian-reference-ja", "reference.debian-docs.example",
         "usr/share/debian-reference", "index.ja.html"),
    Site("developers-reference-ja", "developers.debian-docs.example",
         "usr/share/developers-reference/ja", "index.html"),
    Site("debian-faq-ja", "faq.debian-docs.example",
         "usr/share/doc/debian/FAQ/ja", "index.ja.html"),
    Site("maint-guide-ja", "maintainers.debian-docs.example",
         "usr/share/doc/maint-guide-ja/html", "index.ja.html"),
    Site("installation-guide-amd64", "installation.debian-docs.example",
         "usr/share/doc/installation-guide-amd64/ja", "index.html"),
)  # fmt: skip


def unpack(folder: Path) -> None:
    """Download the packages and unpack them into the folder, without installing anything."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = [site.package for site in SITES]
    subprocess.run(["apt-get", "download", "-q", *packages], cwd=folder, check=True)
    for archive in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", archive.name, "."], cwd=folder, check=True)


async def _serve(unpacked: Path, port: asyncio.Future[int]) -> None:
    folders = {site.host: unpacked / site.folder for site in SITES}

    async def page(request: web.Request) -> web.StreamResponse:
        folder = folders.get(request.host.partition(":")[0])
        name = request.match_info["name"]
        if folder is None:
            raise web.HTTPNotFound
        if name == "robots.txt":
            return web.Response(text=ROBOTS)
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    app = web.Application()
    app.router.add_get("/{name:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    port.set_result(runner.addresses[0][1])
    await asyncio.Event().wait()


@contextmanager
def served(unpacked: Path) -> Iterator[int]:
    """Serve the pages on loopback from a thread; gives the port."""
    loop = asyncio.new_event_loop()
    port: asyncio.Future[int] = loop.create_future()
    task = loop.create_task(_serve(unpacked, port))
    ready = threading.Event()
    port.add_done_callback(lambda _: ready.set())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield port.result()
    finally:
        task.add_done_callback(lambda _: loop.stop())
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def settings(port: int, steps: int) -> dict[str, Any]:
    """The demo's settings, but a crawl of the real pages and a longer training."""
    return {
        "extends": str(ROOT / "configs" / "demo.yaml"),
        "name": "real",
        "crawl": {
            "source": "web",
            "seeds": [f"http://{site.host}/{site.index}" for site in SITES],
            "resolve": {site.host: f"127.0.0.1:{port}" for site in SITES},
            "contact": "https://github.com/so8t/so8t-control-center/issues",
            "delay_s": 0.05,
            "max_pages": 400,
        },
        "train": {"max_steps": steps, "save_every_steps": 20},
        "evaluate": {"max_documents": 16},
        "report": {"language": "ja"},
    }


def picture(run: RunDir, out: Path, *tabs: str) -> None:
    """Draw the interface on the run as it is at this moment."""
    script = Path(__file__).with_name("interface_pictures.py")
    subprocess.run(
        [sys.executable, str(script), str(run.root), str(out), "--tabs", *tabs], check=True
    )


def watch(run: RunDir, pictures: Path | None) -> RunState:
    """Follow the run to its end; take a picture in the crawl, in training and at the end."""
    wanted = {"crawl": 20.0, "train": 0.6}
    view = Watch(run)
    while True:
        state = view.catch_up()
        for phase, moment in tuple(wanted.items()):
            progress = state.phases[phase]  # type: ignore[index]
            reached = moment if moment > 1 else moment * (progress.total or float("inf"))
            if progress.state == "running" and progress.done >= reached:
                wanted.pop(phase)
                if pictures is not None:
                    picture(run, pictures, phase)
        if view.seen().status in {"done", "failed", "crashed"}:
            break
        time.sleep(POLL_S)
    view.close()
    if pictures is not None:
        picture(run, pictures, "overview", "report")
    return state


def figures(run: RunDir, state: RunState) -> dict[str, Any]:
    """What came of it, phase by phase, from the manifests."""
    manifests = {name: Manifest.read(run.phase(name)) for name in PHASE_NAMES}
    return {
        "run": run.name,
        "state": state.state,
        "seconds": {name: m.active_s for name, m in manifests.items() if m is not None},
        **{
            name: manifests[name].figures  # type: ignore[union-attr]
            for name in ("crawl", "cleanse", "train", "evaluate", "export")
            if manifests[name] is not None
        },
    }


def main() -> int:
    """Run it; exit status 0 when all eight phases are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs", help="where the run is made")
    parser.add_argument("--unpacked", type=Path, help="folder of unpacked packages")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the interface")
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    unpacked = arguments.unpacked or out / "debian-pages"
    if arguments.unpacked is None:
        unpack(unpacked)
    with served(unpacked) as port:
        out.mkdir(parents=True, exist_ok=True)
        file = out / "real_site.yaml"
        file.write_text(yaml.safe_dump(settings(port, arguments.steps), allow_unicode=True))
        command = [sys.executable, "-m", "so8t_core.cli", "run", "-c", str(file), "--detach"]
        subprocess.run([*command, "--runs-dir", str(out)], check=True)
        run = list_runs(out)[0]
        state = watch(run, arguments.pictures)
    text = json.dumps(figures(run, state), ensure_ascii=False, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0 if state.state == "done" else 4


if __name__ == "__main__":
    sys.exit(main())

"""Starting, watching and steering runs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from so8t_core.contract.control import Control, ControlStore, PauseMode, this_user
from so8t_core.contract.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    RunBusy,
    So8tError,
    StoreError,
    UsageError,
)
from so8t_core.contract.events import Event
from so8t_core.contract.lock import engine_liveness
from so8t_core.contract.phases import PHASE_NAMES, PHASES, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run, find_run, list_runs, run_settings
from so8t_core.contract.state import RunState
from so8t_core.contract.watch import Watch, status_document

START_TIMEOUT_S = 20.0


def shipped_config(name: str) -> Path:
    """A settings file that comes with the program: from the source tree, or from the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "configs", package / "configs"):
        if (folder / name).is_file():
            return folder / name
    raise StoreError(
        f"The settings file {name} is missing from this installation.",
        where=str(package),
        hint="Install so8t again.",
    )


def has_terminal() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def run_headless(run: RunDir, only: tuple[PhaseName, ...] = ()) -> int:
    """An engine in this process, with plain lines of progress; returns the run's exit code."""
    from so8t_core.engine.runner import Engine
    from so8t_tui.plain import Narrator, wants_colour

    narrator = Narrator(colour=wants_colour(sys.stdout, os.environ))

    def narrate(state: RunState, event: Event) -> None:
        for line in narrator.tell(event, state):
            _say(line)

    _say(f"{run.name}: {run.root}")
    return asyncio.run(Engine(run, only=only, observers=(narrate,)).run())


def _say(line: str) -> None:
    """Print a line; a reader that went away ends the narration, not the run."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process


def want_running(run: RunDir) -> Control:
    """Lift whatever pause or stop was wanted of the run."""
    with ControlStore(run.control) as store:
        return store.amend(lambda c: replace(c, desired="running", mode="soft"), who=this_user())


def start_engine_for(run: RunDir, only: tuple[PhaseName, ...] = ()) -> subprocess.Popen[bytes]:
    """An engine in a session of its own, returned at once. Raises `RunBusy`."""
    from so8t_core.engine.process import start_engine

    require_free(run)
    return start_engine(run, only=only)


def require_free(run: RunDir) -> None:
    """Raise `RunBusy` where an engine holds the run."""
    before = engine_liveness(run)
    if before.alive:
        raise RunBusy(
            f"Another engine holds this run: process {before.pid} on this machine.",
            where=str(run.root),
            hint="It is steered with `so8t pause`, `so8t resume` and `so8t stop`.",
        )


def start_detached(run: RunDir, only: tuple[PhaseName, ...] = ()) -> int:
    """The same, returning its pid once it holds the run; `StoreError` when it does not come up."""
    began = time.time()
    engine = start_engine_for(run, only)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if engine_liveness(run).pid == engine.pid or _greeted(run, began):
            return engine.pid
        if engine.poll() is not None:
            break
        time.sleep(0.05)
    raise StoreError(
        "The engine did not start.",
        where=str(run.logs / "engine.log"),
        hint="Its last lines say why.",
    )


def _greeted(run: RunDir, since: float) -> bool:
    watch = Watch(run)
    try:
        engine = watch.catch_up().engine
    finally:
        watch.close()
    return engine is not None and engine.started_at >= since


def open_interface(runs_dir: Path, run: RunDir | None, *, read_only: bool = False) -> int:
    """The terminal interface, on one run or on the list of runs."""
    from so8t_tui.app import ControlCenter
    from so8t_tui.outside import Outside

    outside = Outside(
        start_engine=_start,
        new_demo=lambda: _new_run(runs_dir, shipped_config("demo.yaml"), ()),
        new_run=lambda config, overrides: _new_run(runs_dir, config, overrides),
        configs=_known_configs,
        terminal_notification=_announcement,
    )
    left = ControlCenter(runs_dir, run, outside=outside, read_only=read_only).run()
    if left is not None and left.run is not None and engine_liveness(left.run).alive:
        print(
            f"{left.run.name} goes on in the background; `so8t --run {left.run.name}` comes back."
        )
    return EXIT_DONE


def _start(run: RunDir) -> None:
    start_engine_for(run)


def _new_run(runs_dir: Path, config: Path, overrides: Sequence[str]) -> RunDir:
    from so8t_core.contract.config import load_settings

    return create_run(runs_dir, load_settings(config, overrides))


def _known_configs() -> list[Path]:
    """Settings files that the form offers: those of the current folder, then the shipped ones."""
    here = sorted(Path("configs").glob("*.yaml")) + sorted(Path().glob("*.yaml"))
    shipped = sorted(shipped_config("demo.yaml").parent.glob("*.yaml"))
    files = {path.resolve(): path for path in (*shipped, *here)}
    return list(files.values())


def _announcement(run: RunDir, message: str) -> str:
    """The sequence that tells this terminal of a run's end, as the run's settings wish."""
    from so8t_core.engine.notify import terminal_notification

    asked = run_settings(run).notify
    return terminal_notification(message, os.environ, bell=asked.bell, desktop=asked.desktop)


def launch(run: RunDir, arguments: Namespace, only: tuple[PhaseName, ...] = ()) -> int:
    """Start an engine the way the user asked for: headless, detached, or under the interface."""
    if arguments.headless or not (arguments.detach or has_terminal()):
        return run_headless(run, only)
    pid = start_detached(run, only)
    if arguments.detach:
        print(f"{run.name}: engine {pid} runs in the background; `so8t status {run.name}` looks.")
        return EXIT_DONE
    return open_interface(arguments.runs_dir, run)


def home(arguments: Namespace) -> int:
    """`so8t`: the interface; without a terminal, the list of runs."""
    run = find_run(arguments.run, arguments.runs_dir) if arguments.run else None
    if not has_terminal() and "TEXTUAL_DRIVER" not in os.environ:
        return runs(arguments)
    return open_interface(arguments.runs_dir, run, read_only=arguments.read_only)


def run(arguments: Namespace) -> int:
    """`so8t run -c FILE`."""
    from so8t_core.contract.config import load_settings

    settings = load_settings(arguments.config, arguments.set)
    return launch(create_run(arguments.runs_dir, settings), arguments)


def demo(arguments: Namespace) -> int:
    """`so8t demo`."""
    from so8t_core.contract.config import load_settings

    name = "tiny.yaml" if arguments.tiny else "demo.yaml"
    settings = load_settings(shipped_config(name), arguments.set)
    return launch(create_run(arguments.runs_dir, settings), arguments)


def resume(arguments: Namespace) -> int:
    """`so8t resume [RUN]`: lift a pause, or start an engine that goes on where the last ended.

    With `--all` also with the phases that the run was not begun for, with `--set` on settings that
    were changed.
    """
    run = find_run(arguments.run, arguments.runs_dir)
    if arguments.set:
        from so8t_core.engine.changed_settings import change_settings

        change_settings(run, arguments.set)
    wish = want_running(run)
    if _engine_heard(run, wish):
        if has_terminal() and not (arguments.headless or arguments.detach):
            return open_interface(arguments.runs_dir, run)
        print(f"{run.name}: its engine was told to go on.")
        return EXIT_DONE
    return launch(run, arguments, only=PHASE_NAMES if arguments.all else ())


def _engine_heard(run: RunDir, wish: Control) -> bool:
    """Whether a living engine has taken the wish; one that is just ending has not."""
    watch = Watch(run)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while engine_liveness(run).alive and time.monotonic() < deadline:
            if watch.catch_up().control_revision >= wish.revision:
                return True
            time.sleep(0.05)
        return engine_liveness(run).alive
    finally:
        watch.close()


def pause(arguments: Namespace) -> int:
    """`so8t pause [RUN]`."""
    run = find_run(arguments.run, arguments.runs_dir)
    mode: PauseMode = "hard" if arguments.hard else "soft"
    with ControlStore(run.control) as store:
        store.amend(lambda c: replace(c, desired="paused", mode=mode))
    return _report_wish(run, f"{mode} pause", arguments.wait, until={"paused", "done", "failed"})


def stop(arguments: Namespace) -> int:
    """`so8t stop [RUN]`: save, end the engine; a resume goes on from there."""
    run = find_run(arguments.run, arguments.runs_dir)
    with ControlStore(run.control) as store:
        store.amend(lambda c: replace(c, desired="stopped", mode="hard"))
    return _report_wish(run, "stop", arguments.wait, until=None)


def retry(arguments: Namespace) -> int:
    """`so8t retry RUN PHASE`: the phase runs again, now or at the next resume."""
    return _count_wish(arguments, "retry")


def skip(arguments: Namespace) -> int:
    """`so8t skip RUN PHASE`: the phase is left out, or ended when it runs."""
    return _count_wish(arguments, "skip")


def _count_wish(arguments: Namespace, kind: str) -> int:
    run = find_run(arguments.run, arguments.runs_dir)
    phase: PhaseName = arguments.phase
    with ControlStore(run.control) as store:
        store.amend(lambda c: c.retrying(phase) if kind == "retry" else c.skipping(phase))
    return _report_wish(run, f"{kind} of {phase}", wait=False, until=None)


def _report_wish(run: RunDir, wish: str, wait: bool, until: set[str] | None) -> int:
    if not engine_liveness(run).alive:
        print(f"{run.name}: {wish} noted; no engine runs now, the next one will see it.")
        return EXIT_DONE
    print(f"{run.name}: {wish} asked for.")
    if not wait:
        return EXIT_DONE
    watch = Watch(run)
    try:
        while True:
            watch.catch_up()
            seen = watch.seen()
            if not seen.liveness.alive or (until and seen.status in until):
                break
            time.sleep(0.05)
    finally:
        watch.close()
    print(f"{run.name}: {seen.status}.")
    return EXIT_FAILED if seen.status in {"failed", "crashed"} else EXIT_DONE


def status(arguments: Namespace) -> int:
    """`so8t status [RUN] [--json] [--watch]`."""
    run = find_run(arguments.run, arguments.runs_dir)
    if arguments.watch:
        from so8t_tui.plain import follow

        seen = follow(run, sys.stdout, after_seq=-1, patience_s=0.0)
        print(f"{run.name}: {seen}.")
        return EXIT_DONE
    document = status_document(run)
    if arguments.json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return EXIT_DONE
    print(f"{document['run']}: {document['state']}  {document['message']}".rstrip())
    for name, phase in document["phases"].items():
        total = f"/{phase['total']:g}" if phase["total"] is not None else ""
        progress = f"{phase['done']:g}{total} {phase['unit']}" if phase["unit"] else ""
        row = f"  {name:<10}{phase['state']:<9}{phase['active_s']:8.1f} s  {progress:<22}"
        print(f"{row} {phase['reason']}".rstrip())
    return EXIT_DONE


def runs(arguments: Namespace) -> int:
    """`so8t runs [--json]`."""
    rows: list[dict[str, object]] = []
    for found in list_runs(arguments.runs_dir):
        try:
            document = status_document(found)
        except (So8tError, OSError) as error:
            reason = str(error)
            rows.append({"run": found.name, "state": "unreadable", "done": None, "reason": reason})
        else:
            done = sum(phase["state"] == "done" for phase in document["phases"].values())
            rows.append({"run": found.name, "state": document["state"], "done": done})
    if getattr(arguments, "json", False):
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        for row in rows:
            done = f"{row['done']}/8 phases done" if row["done"] is not None else ""
            print(f"{row['run']:<40} {row['state']:<8} {done}".rstrip())
    else:
        print(f"No runs in {arguments.runs_dir.absolute()}. Start one with `so8t demo`.")
    return EXIT_DONE


def _towards_a_report(run: RunDir) -> str:
    """What is still to be done for a report, phase by phase; and that a training may do without."""
    from so8t_core.engine.plan import preview

    plan = preview(run, run_settings(run), PHASES)
    left = [name for name, decision in plan.items() if decision["action"] == "run"]
    hint = f"`so8t resume {run.name} --all` goes on with {', '.join(left)}."
    if "export" in left and plan["train"]["action"] == "reuse":
        hint += f" `so8t export --run {run.name}` alone folds and exports what was trained."
    return hint


def report(arguments: Namespace) -> int:
    """`so8t report [RUN]`: print the report; raw Markdown where nobody looks on."""
    run = find_run(arguments.run, arguments.runs_dir)
    suffix = "json" if arguments.json else "md"
    path = run.phase("report") / f"report.{suffix}"
    if not path.is_file():
        raise UsageError(
            "This run has no report yet.",
            where=str(path),
            hint=_towards_a_report(run),
        )
    text = path.read_text(encoding="utf-8")
    if arguments.json or not sys.stdout.isatty():
        print(text)
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    return EXIT_DONE

"""The interface in other places (a browser, another machine), and how a run's end is told."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from so8t_core.contract.errors import EXIT_DONE, StoreError, UsageError
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import DEFAULT_RUNS_DIR, find_run, run_settings
from so8t_core.contract.settings.engine import NotifySettings

_LOOPBACK = "127.0.0.1"


def interface_command(arguments: Namespace) -> list[str]:
    """The words that open the interface the way these arguments ask for."""
    words = ["--runs-dir", str(arguments.runs_dir.absolute())]
    if arguments.run is not None:
        words += ["--run", str(find_run(arguments.run, arguments.runs_dir).root)]
    if arguments.read_only:
        words.append("--read-only")
    return [sys.executable, "-m", "so8t_core.cli", *words]


def web(arguments: Namespace) -> int:
    """`so8t web [RUN]`: the same interface in a browser of this machine."""
    from so8t_core.commands.webserver import interface_server, is_free

    if not 0 < arguments.port < 65_536:
        raise UsageError(f"{arguments.port} is no port.", hint="Choose one from 1024 to 65535.")
    if not is_free(_LOOPBACK, arguments.port):
        raise UsageError(
            f"Port {arguments.port} is taken.",
            where=f"{_LOOPBACK}:{arguments.port}",
            hint="Name another one with --port.",
        )
    command = shlex.join(interface_command(arguments))
    places = {f"{_LOOPBACK}:{arguments.port}", f"localhost:{arguments.port}"}
    server = interface_server(command, _LOOPBACK, arguments.port, places)
    print(f"http://{_LOOPBACK}:{arguments.port}/ (Ctrl+C ends it; runs go on)", flush=True)
    server.serve()
    return EXIT_DONE


def attach_command(place: str, arguments: Namespace) -> list[str]:
    """The SSH command for `[USER@]HOST[:RUN]`. Raises `UsageError`."""
    host, _, run = place.partition(":")
    if not host or host.startswith("-") or any(c.isspace() for c in host):
        raise UsageError(
            f"{place!r} names no host.", hint="For example: so8t attach me@gpu-box:RUN"
        )
    there = shlex.split(arguments.command)
    if arguments.runs_dir != DEFAULT_RUNS_DIR:
        there += ["--runs-dir", str(arguments.runs_dir)]
    if run:
        there += ["--run", run]
    if arguments.read_only:
        there.append("--read-only")
    return [*shlex.split(arguments.ssh), "-t", "--", host, shlex.join(there)]


def attach(arguments: Namespace) -> int:
    """`so8t attach [USER@]HOST[:RUN]`: the interface of another machine, in this terminal."""
    command = attach_command(arguments.place, arguments)
    if shutil.which(command[0]) is None:
        raise StoreError(
            f"The program {command[0]} is not here.",
            hint="Install an SSH client, or name yours with --ssh.",
        )
    return subprocess.call(command)


def notify_test(arguments: Namespace) -> int:
    """`so8t notify test`: sound, desktop, terminal, command and webhook as at a run's end."""
    from so8t_core.engine.notify import notify, terminal_notification

    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder) / "test-of-the-notification")
        settings = NotifySettings()
        if arguments.run is not None:
            run = find_run(arguments.run, arguments.runs_dir)
            settings = run_settings(run).notify
        elif arguments.config is not None:
            from so8t_core.contract.config import load_settings

            settings = load_settings(arguments.config, arguments.set).notify
        message = f"{run.name}: a test"
        lines = asyncio.run(
            notify("failed" if arguments.failed else "done", run, settings, message)
        )
    print("\n".join(lines))
    if sys.stdout.isatty():
        sys.stdout.write(
            terminal_notification(message, os.environ, bell=settings.bell, desktop=settings.desktop)
        )
        sys.stdout.flush()
        print("Terminal: bell and notification were written to this terminal.")
    else:
        print("Terminal: none here; the interface writes them where it is open.")
    return EXIT_DONE

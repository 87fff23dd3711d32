"""The process of one phase: `python -m so8t_core.engine.worker`, started by the engine alone."""

from __future__ import annotations

import ctypes
import errno
import importlib
import importlib.metadata
import json
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from so8t_core import __version__
from so8t_core.contract.config import phase_settings_digest
from so8t_core.contract.errors import ResourceError, So8tError
from so8t_core.contract.manifest import FileRecord, Manifest, utc_now
from so8t_core.contract.phases import SPEC
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import run_settings
from so8t_core.contract.settings import Settings
from so8t_core.engine.emitter import Channel, ChannelEmitter, ChannelGate, PausingImports
from so8t_core.engine.plan import input_digests, input_manifests
from so8t_core.engine.several import (
    forget_ranks,
    leave_word,
    note_end,
    own_rank,
    run_ranks,
    take_channel,
    wanted_ranks,
)
from so8t_core.phases.base import HardPause, Outcome, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter

_PR_SET_PDEATHSIG = 1
_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.EFBIG}
)
"""What is no defect of this program: permissions, disks, other things where a file should be."""
_REPORTED_PACKAGES = (
    "accelerate",
    "aiohttp",
    "bitsandbytes",
    "datasets",
    "gguf",
    "peft",
    "resiliparse",
    "selectolax",
    "tokenizers",
    "torch",
    "transformers",
)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process with its parent (Linux; elsewhere the pipe's end does)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)


def _versions() -> dict[str, str]:
    found = {"so8t": __version__, "python": platform.python_version()}
    for package in _REPORTED_PACKAGES:
        if package in sys.modules:
            found[package] = importlib.metadata.version(package)
    return found


def run_phase(
    context: PhaseContext,
    *,
    module: str,
    attempt: int,
    active_before_s: float,
    gate: ChannelGate,
    emitter: ChannelEmitter,
) -> Manifest:
    """Run the phase's code and write its manifest, last of all."""
    started_at, began = utc_now(), time.monotonic()
    spec = SPEC[context.phase]
    outcome: Outcome = importlib.import_module(module).run(context)
    context.pause.point()
    manifest = Manifest(
        phase=context.phase,
        run=context.run.name,
        settings_sha256=phase_settings_digest(context.settings, spec),
        inputs={**input_digests(spec, context.inputs), **outcome.extra_inputs},
        digest=outcome.digest,
        outputs=tuple(_records(context, outcome.outputs)),
        figures=dict(outcome.figures),
        notes=(*outcome.notes, *(f"Fallback: {fallback}." for fallback in emitter.fallbacks)),
        versions=_versions(),
        attempt=attempt,
        started_at=started_at,
        finished_at=utc_now(),
        active_s=round(active_before_s + time.monotonic() - began - gate.paused_s, 3),
    ).sealed()
    manifest.write(context.folder)
    return manifest


def _records(context: PhaseContext, paths: Iterable[Path]) -> Iterator[FileRecord]:
    for path in paths:
        context.pause.point()
        yield FileRecord.of(context.folder, path)


def as_known_error(error: Exception) -> So8tError | None:
    """The error of our tree that an exception stands for; None for an unexpected one."""
    if isinstance(error, So8tError):
        return error
    where = str(error.filename) if isinstance(error, OSError) and error.filename else None
    number = error.errno if isinstance(error, OSError) else None
    # a library's own error says it in words alone
    if number in {errno.ENOSPC, errno.EDQUOT} or "No space left" in str(error):
        return ResourceError(
            "The disk is full.",
            where=where,
            hint="Free some space, then resume the run; nothing half-written was kept.",
        )
    if number in _UNUSABLE:
        return ResourceError(
            f"A file or folder cannot be used: {os.strerror(number)}.",
            where=where,
            hint="Look at its permissions, at what lies in its place and at the disk; then resume "
            "the run.",
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ResourceError(
            f"Memory ran out: {str(error).splitlines()[0] if str(error) else 'no details'}.",
            hint="See what else fills the memory, then resume the run. In a new one, set smaller "
            "batches, shorter sequences or gradient checkpointing.",
        )
    return None


def _failure(error: Exception) -> Mapping[str, Any]:
    traceback.print_exception(error)
    known = as_known_error(error)
    if known is not None:
        return known.as_payload()
    return {
        "type": type(error).__name__,
        "what": f"Unexpected {type(error).__name__}: {error}",
        "where": None,
        "hint": "The phase's log file has the traceback; this is a defect worth reporting.",
        "retryable": True,
    }


def _work(arguments: Mapping[str, Any], channel: Channel, *, alone: bool) -> Mapping[str, Any]:
    emitter = ChannelEmitter(channel)
    gate = ChannelGate(channel, emitter)
    if alone:  # or one rank would stop where the others do not
        sys.meta_path.insert(0, PausingImports(gate))
    run, phase = RunDir(Path(arguments["run"])), arguments["phase"]
    try:
        settings: Settings = run_settings(run)
        context = PhaseContext(
            run=run,
            phase=phase,
            settings=settings,
            inputs=input_manifests(run, settings, SPEC[phase]),
            emit=emitter,
            pause=gate,
            live=lambda: channel.live,
        )
        manifest = run_phase(
            context,
            module=arguments["module"],
            attempt=arguments["attempt"],
            active_before_s=arguments["active_before_s"],
            gate=gate,
            emitter=emitter,
        )
    except HardPause:
        end: Mapping[str, Any] = {"t": "end", "status": "paused"}
    except Exception as error:  # noqa: BLE001 - the engine's border: becomes a journaled failure
        end = {"t": "end", "status": "failed", "error": _failure(error)}
    else:
        end = {
            "t": "end",
            "status": "done",
            "figures": manifest.figures,
            "digest": manifest.digest,
            "active_s": manifest.active_s,
        }
    emitter.flush()
    return end


def _follow(arguments: Mapping[str, Any]) -> int:
    """Run the phase as a rank that the first one leads: nothing is told and no manifest written."""
    run, phase = RunDir(Path(arguments["run"])), arguments["phase"]
    settings: Settings = run_settings(run)
    context = PhaseContext(
        run=run,
        phase=phase,
        settings=settings,
        inputs=input_manifests(run, settings, SPEC[phase]),
        emit=RecordingEmitter(),
        pause=OpenGate(),
    )
    try:
        importlib.import_module(arguments["module"]).run(context)
    except HardPause:
        return 0
    except Exception as error:  # noqa: BLE001 - a process's border: torchrun ends the other ranks
        leave_word(_failure(error))
        return 1
    return 0


def main() -> None:
    """Entry of the phase's process; its one argument is JSON made by `process.py`."""
    arguments = json.loads(sys.argv[1])
    rank = own_rank()
    die_with_parent(arguments["parent_pid"] if rank is None else os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if rank is None:
        forget_ranks()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the engine decides; it pauses us by channel
        count = wanted_ranks(RunDir(Path(arguments["run"])), arguments["phase"])
        if count > 1:
            run_ranks(arguments, count)
            os._exit(0)
    code = 0
    if rank:
        code = _follow(arguments)
    else:
        channel = Channel(arguments["channel"] if rank is None else take_channel())
        channel.send(_work(arguments, channel, alone=rank is None))
        note_end()
    sys.stdout.flush()
    os._exit(code)  # threads of libraries must not hold a finished phase back


if __name__ == "__main__":
    main()

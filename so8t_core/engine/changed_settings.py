"""Changing those settings of a run that decide no result, or steer only what is still to come."""

from __future__ import annotations

import os
from collections.abc import Sequence

from so8t_core.contract.config import load_settings, save_settings
from so8t_core.contract.control import this_user
from so8t_core.contract.errors import UsageError
from so8t_core.contract.events import Draft
from so8t_core.contract.lock import EngineLock
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import open_journal, run_settings
from so8t_core.contract.settings.train import OPERATIONAL, STEERING
from so8t_core.engine.several import LIVE_GPUS

_SECTIONS = ("engine", "notify")
"""Sections that no phase's result depends on."""


def change_settings(run: RunDir, assignments: Sequence[str]) -> None:
    """Apply `NAME=VALUE` to the run's settings, and journal who did.

    A training begun with the older values goes on with the new ones. Raises `UsageError` for a
    setting that decides a result, `SettingsError` for a value that is none, `RunBusy` while an
    engine holds the run.
    """
    names = [assignment.partition("=")[0] for assignment in assignments]
    for name in names:
        _require_changeable(run, name)
    lock = EngineLock(run)
    lock.acquire()
    try:
        before, after = run_settings(run), load_settings(run.settings_file, assignments)
        if after == before:
            return
        made = run.settings_file.stat()
        save_settings(after, run.settings_file)
        os.utime(run.settings_file, ns=(made.st_atime_ns, made.st_mtime_ns))  # runs sort by it
        journal = open_journal(run, before)
        try:
            told = f"{this_user()} changed settings of this run: {', '.join(assignments)}"
            journal.append([Draft("log", {"level": "info", "message": told})])
        finally:
            journal.close()
    finally:
        lock.release()


def _require_changeable(run: RunDir, name: str) -> None:
    """Raise `UsageError` for a setting by which something was made already."""
    if name == LIVE_GPUS:
        raise UsageError(
            "The number of GPUs has an option of its own.",
            where=f"--set {name}",
            hint=f"Use: so8t train --run {run.name} --gpus N",
        )
    section, _, field = name.partition(".")
    if section in _SECTIONS and field:
        return
    if section == "train" and field in OPERATIONAL | STEERING:
        return
    raise UsageError(
        "A run keeps the settings that it was made with.",
        where=f"--set {name}",
        hint="Make a new run (-c FILE --set NAME=VALUE). In this one may change: all of engine and "
        f"notify, and of train {', '.join(sorted((OPERATIONAL | STEERING) - {'gpus'}))}.",
    )

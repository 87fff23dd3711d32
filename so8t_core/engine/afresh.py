"""Setting the work of a phase aside, so that it starts afresh and nothing is overwritten."""

from __future__ import annotations

import os
from pathlib import Path

from so8t_core.contract.control import this_user
from so8t_core.contract.events import Draft
from so8t_core.contract.lock import EngineLock
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import open_journal, run_settings
from so8t_core.engine.process import end_leftovers


def set_aside(run: RunDir, name: PhaseName) -> Path | None:
    """Rename the phase's folder to the next free `NAME.older-N` and journal it.

    Returns where it lies now, None where there was no work. Raises `RunBusy` while an engine holds
    the run. Killed between the two, the journal alone does not know of it: the phase starts afresh
    all the same.
    """
    lock = EngineLock(run)
    lock.acquire()
    try:
        end_leftovers(run)
        folder = run.phase(name)
        if not folder.is_dir() or not any(folder.iterdir()):
            return None
        number = 1
        while run.older(name, number).exists():
            number += 1
        aside = run.older(name, number)
        os.rename(folder, aside)
        journal = open_journal(run, run_settings(run))
        try:
            reason = f"{this_user()} asked for a new one; the older work lies in {aside.name}"
            journal.append([Draft("phase_pending", {"reason": reason}, name)])
        finally:
            journal.close()
        return aside
    finally:
        lock.release()

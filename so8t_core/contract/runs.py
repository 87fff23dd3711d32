"""Making, listing and finding runs below a folder.

The settings are imported where they are needed: who only looks at runs starts quicker without.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from so8t_core import __version__
from so8t_core.contract.control import ControlStore
from so8t_core.contract.errors import RunNotFound, SettingsError, StoreError
from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.rundir import RunDir

if TYPE_CHECKING:
    from so8t_core.contract.settings import Settings

DEFAULT_RUNS_DIR = Path("runs")


def create_run(runs_dir: Path, settings: Settings) -> RunDir:
    """Make a new run directory with its settings, journal and control file.

    It is filled under a temporary name and renamed, so a run is either whole or not there.
    Raises `StoreError` when the folder cannot be written, `SettingsError` for settings that cannot
    be stored.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    runs_dir = runs_dir.absolute()
    for number in range(1, 1000):
        name = f"{settings.name}-{stamp}" + (f"-{number}" if number > 1 else "")
        final = runs_dir / name
        partial = runs_dir / f".{name}.{os.getpid()}.partial"
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise _cannot_be_made(final, error) from error
        try:
            _fill(RunDir(partial), settings)
            if final.exists():
                continue
            partial.rename(final)
        except (OSError, sqlite3.Error, StoreError) as error:
            raise _cannot_be_made(final, error) from error
        except ValueError as error:
            raise SettingsError(
                f"The settings cannot be stored: {error}.",
                hint="`so8t config show FILE` prints every value.",
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return RunDir(final)
    raise StoreError("Too many runs were started in this second.", where=str(runs_dir))


def _cannot_be_made(final: Path, error: OSError | sqlite3.Error | StoreError) -> StoreError:
    if isinstance(error, StoreError):
        cause = error.what.rstrip(".")
    else:
        cause = getattr(error, "strerror", None) or str(error)
    full = getattr(error, "errno", None) == errno.ENOSPC or (
        getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    )
    return StoreError(
        f"The run directory cannot be made: {'the disk is full' if full else cause}.",
        where=str(final),
        hint="Choose another place with --runs-dir, or free some space.",
    )


def _fill(run: RunDir, settings: Settings) -> None:
    from so8t_core.contract.config import save_settings

    run.logs.mkdir()
    save_settings(settings, run.settings_file)
    open_journal(run, settings).close()
    ControlStore(run.control).close()


def open_journal(run: RunDir, settings: Settings) -> JournalWriter:
    """The run's journal for writing; one that is new or was lost begins with `run_created`.

    Raises `JournalError`, and `sqlite3.OperationalError` when the disk is full.
    """
    from so8t_core.contract.config import settings_digest

    journal = JournalWriter(run.journal)
    if journal.last_seq == 0:
        created = {"settings_sha256": settings_digest(settings), "version": __version__}
        try:
            journal.append([Draft("run_created", created)])
        except sqlite3.Error:
            journal.close()
            raise
    return journal


def run_settings(run: RunDir) -> Settings:
    """The settings that a run was created with."""
    from so8t_core.contract.config import load_settings

    return load_settings(run.settings_file)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory; one without a journal has all its phases pending.

    A folder that may not be looked into is none.
    """
    return os.path.isfile(RunDir(folder).settings_file)


def list_runs(runs_dir: Path) -> list[RunDir]:
    """All runs below the folder, newest first (by the time of creation in the settings file).

    Raises `StoreError` when the folder cannot be looked into.
    """
    if not runs_dir.is_dir():
        return []
    try:
        folders = [path for path in runs_dir.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise StoreError(
            f"The folder of runs cannot be read: {error.strerror}.",
            where=str(runs_dir.absolute()),
            hint="Check its permissions, or name another one with --runs-dir.",
        ) from error
    found = [RunDir(path.absolute()) for path in folders if is_run(path)]
    return sorted(found, key=lambda run: (_made_at(run), run.name), reverse=True)


def _made_at(run: RunDir) -> float:
    try:
        return run.settings_file.stat().st_mtime
    except OSError:
        return 0.0  # removed since it was listed


def find_run(name: str | None, runs_dir: Path) -> RunDir:
    """A run by name, by path, or (None) the newest. Raises `RunNotFound`."""
    if name is None:
        runs = list_runs(runs_dir)
        if not runs:
            raise RunNotFound(
                "There is no run yet.",
                where=str(runs_dir.absolute()),
                hint="Start one with `so8t demo`, or name the folder with --runs-dir.",
            )
        return runs[0]
    for candidate in (runs_dir / name, Path(name)):
        if is_run(candidate):
            return RunDir(candidate.absolute())
    known = ", ".join(run.name for run in list_runs(runs_dir)[:5]) or "none"
    raise RunNotFound(
        f"There is no run called {name!r}.",
        where=str(runs_dir.absolute()),
        hint=f"Runs here: {known}.",
    )

"""Making, listing and finding runs below a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from so8t_core import __version__
from so8t_core.contract.config import load_settings, save_settings, settings_digest
from so8t_core.contract.control import ControlStore
from so8t_core.contract.errors import RunNotFound, StoreError
from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings

DEFAULT_RUNS_DIR = Path("runs")


def create_run(runs_dir: Path, settings: Settings) -> RunDir:
    """Make a new run directory with its settings, journal and control file.

    It is filled under a temporary name and renamed, so a run is either whole or not there.
    Raises `StoreError` when the folder cannot be written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    runs_dir = runs_dir.absolute()
    for number in range(1, 1000):
        name = f"{settings.name}-{stamp}" + (f"-{number}" if number > 1 else "")
        final = runs_dir / name
        partial = runs_dir / f".{name}.{os.getpid()}.partial"
        try:
            partial.mkdir(parents=True)
            _fill(RunDir(partial), settings)
            if final.exists():
                raise FileExistsError
            partial.rename(final)
        except FileExistsError:
            _remove(partial)
            continue
        except OSError as error:
            raise StoreError(
                f"The run directory cannot be made: {error.strerror}.",
                where=str(final),
                hint="Choose another place with --runs-dir, or free some space.",
            ) from error
        return RunDir(final)
    raise StoreError("Too many runs were started in this second.", where=str(runs_dir))


def _fill(run: RunDir, settings: Settings) -> None:
    run.logs.mkdir()
    save_settings(settings, run.settings_file)
    with JournalWriter(run.journal) as journal:
        created = {"settings_sha256": settings_digest(settings), "version": __version__}
        journal.append([Draft("run_created", created)])
    ControlStore(run.control).close()


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def run_settings(run: RunDir) -> Settings:
    """The settings that a run was created with."""
    return load_settings(run.settings_file)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory."""
    return (folder / "journal.db").is_file() and (folder / "run.yaml").is_file()


def list_runs(runs_dir: Path) -> list[RunDir]:
    """All runs below the folder, newest first (by the time of creation in the settings file)."""
    if not runs_dir.is_dir():
        return []
    found = [
        RunDir(path.absolute())
        for path in runs_dir.iterdir()
        if not path.name.startswith(".") and is_run(path)
    ]
    return sorted(
        found, key=lambda run: (run.settings_file.stat().st_mtime, run.name), reverse=True
    )


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

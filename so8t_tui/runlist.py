"""All runs below a folder, summarised a slice at a time, so that no journal blocks the list."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from so8t_core.contract.errors import So8tError
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import list_runs
from so8t_core.contract.watch import Seen, Watch
from so8t_tui.amounts import share_of
from so8t_tui.client import BUDGET_S, advance, vanished
from so8t_tui.standing import Standing, going, phase_standing, run_standing

LIST_EVERY_S = 1.0


@dataclass(frozen=True)
class RunSummary:
    """A run as the list shows it. `progress` is of the current phase, 0 to 1."""

    run: RunDir
    standing: Standing
    phases: Mapping[PhaseName, Standing]
    current: PhaseName | None = None
    progress: float | None = None
    created_at: float | None = None
    last_ts: float = 0.0
    problem: So8tError | None = None
    reading: bool = False


def _summary(run: RunDir, seen: Seen, *, reading: bool) -> RunSummary:
    state = seen.state
    current = state.phases[state.current] if state.current else None
    share = None
    if current is not None and current.total and going(seen):
        share = share_of(current.done, current.total)
    return RunSummary(
        run,
        run_standing(seen),
        {name: phase_standing(state.phases[name], seen) for name in PHASE_NAMES},
        state.current,
        share,
        state.created_at,
        state.last_ts,
        reading=reading,
    )


class RunList:
    """All runs below a folder, summarised a slice at a time; finished ones are not kept open."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.summaries: dict[Path, RunSummary] = {}
        self.order: list[RunDir] = []
        self._watches: dict[Path, Watch] = {}
        self._sizes: dict[Path, tuple[float, int]] = {}
        self._listed_at = -LIST_EVERY_S
        self.behind = False

    def poll(self) -> bool:
        """Look for new runs once a second and read on; True when the list changed."""
        now = time.monotonic()
        before = (tuple(self.order), dict(self.summaries))
        if now - self._listed_at >= LIST_EVERY_S or self.behind:
            if not self.behind:
                self.order = list_runs(self.runs_dir)
            self._listed_at = now
            self._read(now + BUDGET_S)
        return (tuple(self.order), self.summaries) != before

    def _read(self, deadline: float) -> None:
        self.behind = False
        for path in self.summaries.keys() - {run.root for run in self.order}:
            del self.summaries[path]
            self._forget(path)
        for run in self.order:
            if time.monotonic() > deadline:
                self.behind = True
                return
            try:
                self._read_one(run, deadline)
            except (So8tError, OSError) as error:
                self._note_problem(run, error)

    def _read_one(self, run: RunDir, deadline: float) -> None:
        known = self.summaries.get(run.root)
        stamp = _stamp(run)
        settled = known is not None and not known.reading and known.standing not in _MOVING
        if settled and self._sizes.get(run.root) == stamp:
            return
        watch = self._watches.get(run.root)
        if watch is None:
            watch = self._watches[run.root] = Watch(run)
        _, left = advance(watch, deadline)
        self.behind = self.behind or left
        seen = watch.seen()
        self.summaries[run.root] = _summary(run, seen, reading=left)
        if not left and not seen.liveness.alive:
            self._sizes[run.root] = stamp
            self._forget(run.root)

    def _note_problem(self, run: RunDir, error: So8tError | OSError) -> None:
        self._forget(run.root)
        self._sizes[run.root] = _stamp(run)
        shown = error if isinstance(error, So8tError) else vanished(run)
        known = self.summaries.get(run.root)
        if known is None or known.problem is None or known.problem.lines() != shown.lines():
            self.summaries[run.root] = RunSummary(run, "failed", {}, problem=shown)

    def _forget(self, path: Path) -> None:
        watch = self._watches.pop(path, None)
        if watch is not None:
            watch.close()

    def close(self) -> None:
        """Let go of all files."""
        for path in list(self._watches):
            self._forget(path)


_MOVING: frozenset[Standing] = frozenset({"running", "pausing", "starting", "silent"})


def _stamp(run: RunDir) -> tuple[float, int]:
    """Changes whenever something is appended to the journal."""
    newest, total = 0.0, 0
    for path in (run.journal, run.journal.with_name(run.journal.name + "-wal"), run.lock):
        try:
            found = path.stat()
        except OSError:
            continue
        newest, total = max(newest, found.st_mtime), total + found.st_size
    return newest, total

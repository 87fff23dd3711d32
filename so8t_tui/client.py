"""The only bridge between the files of runs and the screens.

Everything here returns within a few tens of milliseconds, so that it may be called from a timer of
the interface. Whatever is wrong with a run's files becomes `problem`, never an exception.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from so8t_core.contract.control import (
    Control,
    ControlStore,
    Desired,
    PauseMode,
    read_control,
)
from so8t_core.contract.database import log_of
from so8t_core.contract.errors import So8tError, StoreError
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.watch import Seen, Watch
from so8t_tui.standing import Standing, resumable, run_standing

SLICE_EVENTS = 200
BUDGET_S = 0.015
POLL_BUSY_S = 0.1
POLL_IDLE_S = 2.0
POLL_BEHIND_S = 0.001
LOOK_AROUND_EVERY_S = 1.0
IDLE_AFTER_S = 3.0
START_PATIENCE_S = 20.0


Stamp = tuple[tuple[int, int], ...]


def vanished(run: RunDir) -> StoreError:
    """The error that says that a run's directory is not there any more."""
    return StoreError(
        "The run directory is gone.",
        where=str(run.root),
        hint="If it was moved, open it at its new place; this screen shows the last known state.",
    )


def advance(watch: Watch, deadline: float) -> tuple[bool, bool]:
    """Fold until nothing is left or the deadline; returns (something came, something is left).

    Raises `JournalError` for events that cannot be folded.
    """
    came = False
    while True:
        count = watch.advance(SLICE_EVENTS)
        came = came or count > 0
        if count < SLICE_EVENTS:
            return came, False
        if time.monotonic() > deadline:
            return came, True


class RunClient:
    """Follows one run and writes what the user wants of it.

    `behind`: whether the last poll left anything unread.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.seen: Seen | None = None
        self.problem: So8tError | None = None
        self.behind = True
        self._whole = False
        self._read_to = 0
        self.control = Control()
        self._watch: Watch | None = None
        self._inode: int | None = None
        self._control_stamp: Stamp | None = None
        self._looked_at = 0.0
        self._changed_at = time.monotonic()
        self._start_asked_at: float | None = None

    @property
    def reading(self) -> bool:
        """Whether what the journal held when it was opened is still being read.

        What comes afterwards is shown as it comes, even where it comes faster than it is read.
        """
        return not self._whole and self.problem is None

    @property
    def next_poll_s(self) -> float:
        """When to poll again: at once while behind, seldom when nothing moves."""
        if self.behind and self._watch is not None:
            return POLL_BEHIND_S
        quiet = time.monotonic() - self._changed_at > IDLE_AFTER_S
        live = self.seen is not None and self.seen.liveness.alive
        return POLL_BUSY_S if (live or self.starting or not quiet) else POLL_IDLE_S

    @property
    def starting(self) -> bool:
        """An engine was asked for and has not appeared yet."""
        asked = self._start_asked_at
        return asked is not None and time.monotonic() - asked < START_PATIENCE_S

    @property
    def start_failed(self) -> bool:
        """An engine was asked for and never appeared."""
        return self._start_asked_at is not None and not self.starting

    @property
    def standing(self) -> Standing:
        """How the run stands, as shown."""
        if self.starting:
            return "starting"
        return run_standing(self.seen) if self.seen else "pending"

    @property
    def _known(self) -> Seen | None:
        """The state, once the journal was read as far as it went; half of it tells of the past."""
        return self.seen if self._whole else None

    @property
    def may_pause(self) -> bool:
        """Whether asking for a pause means something now."""
        seen = self._known
        return (
            seen is not None
            and seen.liveness.alive
            and self.control.desired == "running"
            and seen.status in {"pending", "running", "pausing"}
        )

    @property
    def may_resume(self) -> bool:
        """Whether asking to go on means something now, with an engine or by starting one."""
        seen = self._known
        if seen is None or self.starting:
            return False
        if seen.liveness.alive:
            return self.control.desired != "running" or seen.status == "paused"
        return resumable(seen)

    @property
    def may_stop(self) -> bool:
        """Whether an engine is there that has not come to its end."""
        seen = self._known
        return seen is not None and seen.liveness.alive and seen.status not in {"done", "failed"}

    def poll(self) -> bool:
        """Read what is new, for at most about `BUDGET_S`; True when there is something to show."""
        before = (self.seen, self.problem, self.control.revision, self.starting)
        try:
            self._follow()
        except So8tError as error:
            self._fail(error)
        changed = (self.seen, self.problem, self.control.revision, self.starting) != before
        if changed:
            self._changed_at = time.monotonic()
        return changed

    def _follow(self) -> None:
        now = time.monotonic()
        look_around = now - self._looked_at >= LOOK_AROUND_EVERY_S
        if self._watch is None:
            if not look_around and self.problem is not None:
                return
            self._looked_at = now
            self._open()
        elif look_around:
            self._looked_at = now
            self._check_place()
            self._read_control()
        assert self._watch is not None
        came, self.behind = advance(self._watch, now + BUDGET_S)
        self._whole = self._whole or self._watch.state.last_seq >= self._read_to
        if came or look_around or self.seen is None:
            self._look()
        self.problem = None

    def _open(self) -> None:
        if not self.run.root.is_dir():
            raise vanished(self.run)
        self._watch = Watch(self.run)
        self._whole, self._read_to = False, self._watch.newest()
        self._inode = self._journal_inode()
        self._read_control()

    def _check_place(self) -> None:
        if not self.run.root.is_dir():
            raise vanished(self.run)
        if self._journal_inode() != self._inode:
            self._close_watch()
            self._open()

    def _journal_inode(self) -> int | None:
        """Which file the journal is; None where the run has none yet. Raises `StoreError`."""
        try:
            return os.stat(self.run.journal).st_ino
        except FileNotFoundError:
            return None
        except OSError as error:
            raise vanished(self.run) from error

    def _look(self) -> None:
        assert self._watch is not None
        try:
            seen = self._watch.seen()
        except OSError as error:
            raise StoreError(
                f"The engine's lock cannot be read: {error.strerror}.",
                where=str(self.run.lock),
                hint="Check the permissions of the run directory.",
            ) from error
        rounded = replace(seen.liveness, heartbeat_age_s=_coarse(seen.liveness.heartbeat_age_s))
        self.seen = replace(seen, liveness=rounded)
        if seen.liveness.alive:
            self._start_asked_at = None

    def _read_control(self) -> None:
        """Read what is wanted, where its files changed since the last look."""
        stamp = _stamp_of(self.run.control)
        if stamp != self._control_stamp:
            self.control = read_control(self.run.control)
            self._control_stamp = stamp

    def _fail(self, error: So8tError) -> None:
        self.behind = False
        if self.problem is None or self.problem.lines() != error.lines():
            self.problem = error
        self._close_watch()

    def _close_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def amend(self, change: Callable[[Control], Control]) -> None:
        """Write what is wanted now. Raises `StoreError` when it cannot be written."""
        if not self.run.root.is_dir():
            raise vanished(self.run)
        with ControlStore(self.run.control) as store:
            self.control = store.amend(change)

    def want(self, desired: Desired, mode: PauseMode = "soft") -> None:
        """Ask for a state of the run."""
        self.amend(lambda control: replace(control, desired=desired, mode=mode))

    def set_live(self, name: str, value: float) -> None:
        """Ask for another value of a live setting."""
        self.amend(lambda control: replace(control, live={**control.live, name: value}))

    def engine_asked(self) -> None:
        """Note that an engine is being started, so that the screen says so until it appears."""
        self._start_asked_at = time.monotonic()

    def close(self) -> None:
        """Let go of the run's files."""
        self._close_watch()


def _stamp_of(path: Path) -> Stamp:
    """Changes whenever something is written to a database."""
    found: list[tuple[int, int]] = []
    for file in (path, log_of(path)):
        try:
            status = os.stat(file)
        except OSError:
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


def _coarse(age_s: float | None) -> float | None:
    """Ages in steps of ten seconds: a view changes only when what it says changes."""
    return None if age_s is None else age_s // 10 * 10

"""Tells an outside tracker in a thread of its own: training never waits for a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Protocol

LONGEST_QUEUE = 2000
"""So many figures may wait for a tracker before it is given up."""
PATIENCE_S = 10.0
"""How long the end of a training waits for a tracker, in seconds."""


class Tracker(Protocol):
    """An outside tracker: a run that is open."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Tell the values of a step."""

    def close(self) -> None:
        """End the session; the run can be gone on with."""


class Teller:
    """Tells one tracker, in order.

    `before` is called with kind and step just before each; `failed`, once at most and from either
    thread, with what is given up and why: nothing is told any more then.
    """

    def __init__(
        self,
        name: str,
        tracker: Tracker,
        before: Callable[[str, int], None],
        failed: Callable[[str, str], None],
    ) -> None:
        self._without = f"training goes on without the tracker {name}"
        self._no_end = f"no proper end for the tracker {name}"
        self._tracker = tracker
        self._before = before
        self._failed = failed
        self._given_up = Event()
        self._waiting: Queue[tuple[str, int, Mapping[str, float]] | None] = Queue(LONGEST_QUEUE)
        # a daemon: a service that never answers must not keep the process alive
        self._thread = Thread(target=self._work, name="so8t-tracker", daemon=True)
        self._thread.start()

    def tell(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Have a step's values told; returns at once."""
        if self._given_up.is_set():
            return
        try:
            self._waiting.put_nowait((kind, step, dict(values)))
        except Full:
            self._give_up(self._without, f"{LONGEST_QUEUE} figures wait for it")

    def close(self) -> None:
        """Wait a while until everything is told and the session has ended."""
        try:
            self._waiting.put(None, timeout=PATIENCE_S)
        except Full:
            pass
        else:
            self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self._give_up(self._no_end, f"no answer for {PATIENCE_S:g} s")

    def _work(self) -> None:
        what = self._without
        try:
            while (told := self._waiting.get()) is not None:
                if self._given_up.is_set():
                    return
                kind, step, values = told
                self._before(kind, step)
                self._tracker.log(step, values)
            what = self._no_end
            self._tracker.close()
        except Exception as error:  # noqa: BLE001  an outside service must not end a training
            self._give_up(what, said(error))

    def _give_up(self, what: str, why: str) -> None:
        if not self._given_up.is_set():
            self._given_up.set()
            self._failed(what, why)
        while True:  # room for the end's mark
            try:
                self._waiting.get_nowait()
            except Empty:
                return


def said(error: Exception) -> str:
    """The first line of an error's words."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

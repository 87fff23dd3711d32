"""Keeps a folded copy of a long journal beside it, for those who attach."""

from __future__ import annotations

import asyncio
import threading

from so8t_core.contract.events import Draft
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.snapshot import save_snapshot
from so8t_core.engine.book import Book

LOOK_EVERY_S = 5.0
EVENTS_BETWEEN = 2_000
"""Fewer events than this are folded in a moment; no copy is needed."""


class Snapshots:
    """Saves the state of the book now and then. What cannot be saved is said once in the log."""

    def __init__(self, run: RunDir, book: Book) -> None:
        self._run = run
        self._book = book
        self._saving = threading.Lock()
        self._saved_seq = 0
        self._failed = False

    async def keep_up(self) -> None:
        """Look now and then for ever; a save runs beside the engine's loop."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._tell(await asyncio.to_thread(self._save))

    def finish(self) -> None:
        """Save the end of the journal, where it is worth it."""
        self._tell(self._save())

    def _save(self) -> OSError | None:
        with self._saving:
            state = self._book.state
            if state.last_seq - self._saved_seq < EVENTS_BETWEEN:
                return None
            try:
                save_snapshot(self._run, state)
            except OSError as error:
                return error
            self._saved_seq = state.last_seq
            return None

    def _tell(self, error: OSError | None) -> None:
        if error is not None and not self._failed:
            self._failed = True
            message = f"No folded copy of the journal could be saved: {error.strerror}."
            self._book.tell(Draft("log", {"level": "warning", "message": message}))

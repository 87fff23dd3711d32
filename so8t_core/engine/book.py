"""The run's book: the journal that is written and the state that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from so8t_core.contract.events import Draft, Event
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import open_journal
from so8t_core.contract.settings import Settings
from so8t_core.contract.state import RunState, fold

Observer = Callable[[RunState, Event], None]


class Book:
    """Opens the journal, folds what it holds, and keeps both in step.

    `observers` are called with each event as it is journaled. Raises `JournalError`.
    """

    def __init__(
        self, run: RunDir, settings: Settings, observers: tuple[Observer, ...] = ()
    ) -> None:
        self._observers = observers
        self._journal = open_journal(run, settings)
        self._state = RunState()
        with JournalReader(run.journal) as reader:
            while events := reader.after(self._state.last_seq, 10_000):
                for event in events:
                    self._state = fold(self._state, event)

    @property
    def state(self) -> RunState:
        """The state after the newest event."""
        return self._state

    def tell(self, *drafts: Draft) -> None:
        """Journal the events, durably where their kind asks for it, then fold and show them.

        Raises `sqlite3.OperationalError` when the disk is full.
        """
        for event in self._journal.append(drafts):
            self._state = fold(self._state, event)
            for observer in self._observers:
                observer(self._state, event)

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._journal.close()

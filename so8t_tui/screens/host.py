"""What screens ask of the application around them."""

from __future__ import annotations

from typing import Literal, Protocol

from so8t_core.contract.errors import So8tError
from so8t_core.contract.rundir import RunDir
from so8t_tui.client import RunClient
from so8t_tui.locale import Words

Reason = Literal["closed", "detached", "paused"]


class Host(Protocol):
    """The application, as far as screens know it."""

    @property
    def words(self) -> Words:
        """The interface's language."""

    @property
    def offers_demo(self) -> bool:
        """Whether a new demo run can be made from here."""

    def open_run(self, run: RunDir) -> None:
        """Show a run."""

    def show_runs(self) -> None:
        """Show the list of runs."""

    def new_demo(self) -> None:
        """Make a demo run, start its engine and show it."""

    def launch(self, client: RunClient) -> None:
        """Start an engine for the client's run. Raises `So8tError`."""

    def leave(self, reason: Reason) -> None:
        """End the interface."""

    def announce(self, message: str, *, failed: bool) -> None:
        """Ring and show that a run has ended."""

    def tell(self, error: So8tError) -> None:
        """Show an error's lines as a message."""

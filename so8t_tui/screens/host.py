"""What screens ask of the application around them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from so8t_core.contract.errors import So8tError
from so8t_core.contract.rundir import RunDir
from so8t_tui.client import RunClient
from so8t_tui.locale import Words
from so8t_tui.outside import Outside
from so8t_tui.pace import Pace

HINT = "Ctrl+P finds every command, ? shows the keys, L changes the language."
"""Said once to a new user."""

Reason = Literal["closed", "detached", "paused"]


class Host(Protocol):
    """The application, as far as screens know it."""

    @property
    def words(self) -> Words:
        """The interface's language."""

    @property
    def offers_demo(self) -> bool:
        """Whether a new demo run can be made from here."""

    @property
    def offers_new_run(self) -> bool:
        """Whether a run can be made from settings here."""

    @property
    def hint_due(self) -> bool:
        """Whether this user has not been greeted yet; asking counts as the greeting."""

    read_only: bool
    """Whether nothing of any run may be changed from here."""

    outside: Outside
    """What may be asked of the program around the interface."""

    pace: Pace
    """How often live screens may be painted."""

    def copy(self, text: str, told: str) -> None:
        """Copy text to the clipboard, and say so."""

    def open_run(self, run: RunDir, *, resume: bool = False) -> None:
        """Show a run, and have it go on where `resume` says so."""

    def compare(self, first: RunDir, second: RunDir) -> None:
        """Show two runs side by side."""

    def show_runs(self) -> None:
        """Show the list of runs."""

    def new_demo(self) -> None:
        """Make a demo run, start its engine and show it."""

    def new_run(self, config: Path, overrides: tuple[str, ...]) -> None:
        """Make a run from settings, start its engine and show it."""

    def launch(self, client: RunClient) -> None:
        """Start an engine for the client's run. Raises `So8tError`."""

    def leave(self, reason: Reason) -> None:
        """End the interface."""

    def announce(self, run: RunDir, message: str, *, failed: bool) -> None:
        """Ring and show that a run has ended."""

    def tell(self, error: So8tError) -> None:
        """Show an error's lines as a message."""

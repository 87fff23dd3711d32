"""How the cleansing tells what it does and asks whether it may go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Watch(Protocol):
    """What the phase gives the pipeline; any object with these members will do."""

    @property
    def pause_requested(self) -> bool:
        """Whether a pause is wanted; cheap."""

    def point(self) -> None:
        """A consistent moment: holds while a pause lasts, or raises to leave at once."""

    def progress(self, done: int, total: int, message: str) -> None:
        """Documents done of all, and in which step."""

    def stats(self, values: Mapping[str, Any]) -> None:
        """Counters so far."""

    def note(self, message: str) -> None:
        """A line for the log."""

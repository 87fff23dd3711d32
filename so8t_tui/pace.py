"""How often a live screen may be painted: seldom enough for a slow line."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LEAST_S = 0.25
BYTES_PER_S = 40 * 1024
ANSWER_S = 0.05
CALM_S = 0.2
LONGEST_HELD_S = 1.0


class Pace:
    """Counts what goes to the terminal; a large picture is followed by a longer rest."""

    def __init__(self) -> None:
        self.sent = 0
        self._sent_before = 0
        self._painted_at = 0.0
        self._typed_at = 0.0

    def counted(self, write: Callable[[str], Any]) -> Callable[[str], Any]:
        """The same function, its bytes counted."""

        def write_and_count(text: str) -> Any:
            self.sent += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
            return write(text)

        return write_and_count

    @property
    def since_s(self) -> float:
        """Seconds since the last paint."""
        return time.monotonic() - self._painted_at

    @property
    def ready(self) -> bool:
        """Whether the line has had time for what was sent since the last paint, and for keys.

        Who types is about to press the next key, which would wait for the paint; once a second it
        is painted all the same.
        """
        since_s = self.since_s
        if since_s < max(LEAST_S, (self.sent - self._sent_before) / BYTES_PER_S):
            return False
        return self.typed_ago_s >= CALM_S or since_s >= LONGEST_HELD_S

    def typed(self) -> None:
        """A key was pressed: what it does comes before anything new."""
        self._typed_at = time.monotonic()

    @property
    def typed_ago_s(self) -> float:
        """Seconds since the last key."""
        return time.monotonic() - self._typed_at

    @property
    def answering(self) -> bool:
        """Whether a key's answer is still on its way."""
        return self.typed_ago_s < ANSWER_S

    def painted(self) -> None:
        """A picture is about to be sent."""
        self._painted_at, self._sent_before = time.monotonic(), self.sent

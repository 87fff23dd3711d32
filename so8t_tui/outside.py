"""What the interface may ask of the program around it; it imports none of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from so8t_core.contract.rundir import RunDir


@dataclass(frozen=True)
class Outside:
    """Each may be missing: the interface then says what to type instead.

    `start_engine` starts an engine process and returns at once; `new_demo` and `new_run` (settings
    file, overrides) make a run directory; these may raise `So8tError`. `configs` lists settings
    files worth offering. `terminal_notification` gives, for a run and a message, the sequence with
    which this terminal tells of it, bell included, or an empty text.
    """

    start_engine: Callable[[RunDir], None] | None = None
    new_demo: Callable[[], RunDir] | None = None
    new_run: Callable[[Path, Sequence[str]], RunDir] | None = None
    configs: Callable[[], list[Path]] | None = None
    terminal_notification: Callable[[RunDir, str], str] | None = None

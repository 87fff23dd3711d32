"""Keeps the interface's memory flat for as long as it is open, and never while a key waits.

Three things grow in a Textual application that paints all day. `Strip.render_ansi` remembers 16,384
styles, and text that can be selected has a style of its own for every piece, since its place on the
screen is part of it: each paint brings new ones. And what paints leave behind in cycles waits for
the collector, whose full rounds Python makes too seldom here to matter and too long to be made at
any moment. And what was freed stays with the C library, in ever more pieces between what is in use,
until it is asked to give whole pages back.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import cache

from textual.strip import Strip

from so8t_tui.pace import Pace

EVERY_S = 10.0
_QUIET_S = 2.0
"""A full round is made only where no key came for so long."""
_WORTH_IT = 5_000
"""Objects made since the last round; an interface at rest makes none."""


def calm_collector() -> None:
    """Look for cycles seldom, and never among what was made so far.

    A full round over the interface's objects takes tens of milliseconds, which a key would have to
    wait for; rounds over the young are short. `tidy` makes the full ones.
    """
    gc.freeze()
    gc.set_threshold(20_000, 5, 1_000)


def tidy(pace: Pace) -> None:
    """Forget the styles that were painted; collect where nobody types and there may be something.

    To be called every `EVERY_S`.
    """
    Strip.render_ansi.cache_clear()
    youngest, younger, old = gc.get_count()
    if pace.typed_ago_s >= _QUIET_S and (youngest >= _WORTH_IT or younger or old):
        gc.collect()
        give_back()


def give_back() -> None:
    """Have the C library give whole free pages back to the system, where it is one that can."""
    trim = _trimmer()
    if trim is not None:
        trim(0)


@cache
def _trimmer() -> Callable[[int], int] | None:
    """`malloc_trim`, which glibc alone has; None with another C library."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found

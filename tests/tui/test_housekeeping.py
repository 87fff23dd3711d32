"""Memory that an open interface gives back, and when."""

import gc
import weakref

import pytest
from rich.color import ColorSystem
from rich.style import Style
from textual.strip import Strip

from so8t_tui import housekeeping
from so8t_tui.housekeeping import tidy
from so8t_tui.pace import Pace


class _Ring:
    """Two of them that hold one another are a cycle."""

    other: "_Ring | None" = None


def _old_cycle() -> "weakref.ref[_Ring]":
    """A cycle that outlived two rounds before it was given up: young rounds do not find it."""
    first, second = _Ring(), _Ring()
    first.other, second.other = second, first
    gc.collect()
    gc.collect()
    return weakref.ref(first)


def test_styles_that_were_painted_are_forgotten() -> None:
    for number in range(50):
        Strip.render_ansi(
            Style(color=f"color({number})", meta={"at": number}), ColorSystem.TRUECOLOR
        )
    assert Strip.render_ansi.cache_info().currsize >= 50
    tidy(Pace())
    assert Strip.render_ansi.cache_info().currsize == 0


def test_cycles_are_collected_where_nobody_types_and_not_while_a_key_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up, pace = _old_cycle(), Pace()
    gc.disable()
    try:
        monkeypatch.setattr(gc, "get_count", lambda: (9_000, 0, 0))
        pace.typed()
        tidy(pace)
        assert given_up() is not None
        tidy(Pace())
        assert given_up() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("made", "rounds"), [(400, 0), (9_000, 1)], ids=["at rest", "at work"])
def test_an_interface_at_rest_does_no_rounds_and_one_at_work_gives_memory_back(
    monkeypatch: pytest.MonkeyPatch, made: int, rounds: int
) -> None:
    collected: list[int] = []
    trimmed: list[int] = []
    monkeypatch.setattr(gc, "get_count", lambda: (made, 0, 0))
    monkeypatch.setattr(gc, "collect", lambda *_: collected.append(1))
    monkeypatch.setattr(housekeeping, "_trimmer", lambda: trimmed.append)
    tidy(Pace())
    assert len(collected) == rounds
    assert trimmed == [0] * rounds


def test_a_c_library_that_cannot_give_memory_back_is_let_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected: list[int] = []
    monkeypatch.setattr(gc, "get_count", lambda: (10**6, 0, 0))
    monkeypatch.setattr(gc, "collect", lambda *_: collected.append(1))
    monkeypatch.setattr(housekeeping, "_trimmer", lambda: None)
    tidy(Pace())
    assert collected == [1]

"""When a live screen may be painted: the line must be free, and no key about to come."""

import pytest

from so8t_tui import pace as module
from so8t_tui.pace import BYTES_PER_S, CALM_S, LEAST_S, LONGEST_HELD_S, Pace


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def test_a_large_picture_is_followed_by_a_longer_rest(clock: Clock) -> None:
    pace = Pace()
    pace.painted()
    clock.now += LEAST_S
    assert pace.ready
    pace.painted()
    pace.counted(lambda _text: None)("x" * BYTES_PER_S)
    clock.now += 0.9
    assert not pace.ready
    clock.now += 0.2
    assert pace.ready


def test_who_types_is_not_kept_waiting_by_a_paint_and_sees_one_a_second(clock: Clock) -> None:
    pace = Pace()
    pace.painted()
    painted_at = clock.now
    while clock.now - painted_at < LONGEST_HELD_S - 0.05:
        pace.typed()
        assert not pace.ready
        clock.now += 0.1
    pace.typed()
    clock.now += 0.1
    assert pace.ready
    pace.painted()
    clock.now += max(LEAST_S, CALM_S)
    assert pace.ready

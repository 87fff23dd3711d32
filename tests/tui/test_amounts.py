"""Numbers of any size and kind are told, and none of them ends the interface."""

import math
from pathlib import Path

import pytest

from so8t_core.contract.series import Series
from so8t_tui.amounts import UNKNOWN, clock_time, duration, measured, number, share_of, size
from so8t_tui.locale import Words
from so8t_tui.plot import Curve, Manner, picture
from so8t_tui.widgets.counts import counts_of

from .glass import center, on_screen, opened, sees
from .stage import Play, make_run

HUGE = 10**400


@pytest.mark.parametrize(
    "seconds",
    [math.nan, math.inf, -math.inf, 1e308, HUGE],
    ids=["nan", "inf", "-inf", "large", "huge"],
)
def test_a_time_that_means_nothing_is_not_told(seconds: float) -> None:
    assert duration(seconds) == UNKNOWN


def test_numbers_beyond_a_float_are_infinite() -> None:
    assert (number(HUGE), number(-HUGE), size(HUGE)) == ("inf", "-inf", "inf TB")
    assert measured("wait_s", HUGE) == ("wait", UNKNOWN)
    assert counts_of({"a": HUGE}, Words("en")) == (("a", math.inf),)


def test_usual_numbers_stay_as_they_were() -> None:
    assert [number(n) for n in (48, 1234567, 2.5, 1234.5)] == ["48", "1,234,567", "2.5", "1,234"]
    assert (duration(3725), duration(-3), size(1_500_000)) == ("1:02:05", "0:00", "1.5 MB")


@pytest.mark.parametrize(
    ("part", "whole", "share"),
    [
        (1, 4, 0.25),
        (-1, 4, 0.0),
        (9, 4, 1.0),
        (math.nan, 4, None),
        (1, math.inf, None),
        (1, 0, None),
    ],
    ids=["quarter", "below", "above", "nan", "infinite", "of nothing"],
)
def test_shares_lie_between_nothing_and_all(part: float, whole: float, share: float | None) -> None:
    assert share_of(part, whole) == share


def test_a_time_beyond_the_calendar_is_not_told() -> None:
    assert clock_time(1e300) == UNKNOWN


@pytest.mark.parametrize("log", [False, True], ids=["linear", "logarithmic"])
@pytest.mark.parametrize(
    "values",
    [
        (1.7e308, -1.7e308, 0.0),
        (1.7e308, 1.7e308),
        (5e-324, 0.0),
        (math.nan, math.inf, 1.0),
        (1e200, 1e200),
    ],
    ids=["both limits", "one limit", "smallest", "none", "large"],
)
def test_curves_of_any_values_are_drawn(values: tuple[float, ...], log: bool) -> None:
    series = Series(range(len(values)), values)
    lines = picture((Curve("loss", series),), 60, 10, Manner(log=log))
    assert all(line.cell_length <= 60 for line in lines)


@pytest.mark.parametrize("step", [math.nan, math.inf, 10**40], ids=["nan", "inf", "large"])
def test_a_step_without_a_place_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="no step"):
        Series().append(step, 1.0)


async def test_a_run_of_odd_numbers_is_shown_on_every_tab(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train", gpu=True)
    play = Play()
    for odd in (math.nan, math.inf, -math.inf, 1.7e308, -1.7e308):
        points = [[name, 75, odd] for name in ("loss", "rotation_angle.1", "orthogonality")]
        play.tell("metrics", "train", points=points)
        play.tell("stats", "train", values={"eta_s": odd, "epoch": odd, "wait_s": odd})
        play.tell("progress", "train", done=75, total=odd, unit="steps", message="")
        values = {"cpu_percent": odd, "ram_used_gb": odd, "ram_total_gb": odd, "gpu0_used_gb": odd}
        play.tell("resources", values=values)
    huge = {"eta_s": HUGE, "status": {"2xx": HUGE}, "body_bytes": HUGE, "pages_per_s": -HUGE}
    play.tell("stats", "crawl", values=huge)
    play.tell("checkpoint", "train", step=76, path="x", reason="y", size_bytes=HUGE)
    play.until_now()
    play.write(run)
    app = center(run)
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "✘ crashed")
        for tab in "123456789":
            await pilot.press(tab)
        await pilot.pause()
        assert "9 Resources" in on_screen(app)


async def test_an_amount_that_cannot_be_reckoned_with_is_a_malformed_event(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    play = Play()
    play.tell("progress", "crawl", done=1, total=HUGE, unit="pages", message="")
    play.write(run)
    async with opened(center(run)) as pilot:
        await sees(pilot, "of the journal is malformed")

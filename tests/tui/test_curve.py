"""Curves keep every spike, however many points there are; views stay inside what there is."""

import math
import random

import pytest

from so8t_core.contract.series import Series
from so8t_tui.curve import Frame, Raster, View, columns_of, extent, frame_of, nearest, smoothed
from so8t_tui.plot import Curve, Manner, picture, tick
from so8t_tui.throughput import throughput


def series(values: list[float]) -> Series:
    return Series(range(len(values)), values)


@pytest.mark.parametrize("count", [1, 2, 79, 5_000, 200_000])
def test_summing_up_keeps_extremes_ends_and_order(count: int) -> None:
    generator = random.Random(count)
    values = [generator.gauss(0, 1) for _ in range(count)]
    ends = extent([series(values)], View())
    assert ends is not None
    columns = columns_of(series(values), *ends, 80)
    assert len(columns) <= 80
    assert [column.x for column in columns] == sorted({column.x for column in columns})
    assert (columns[0].first, columns[-1].last) == (values[0], values[-1])
    assert min(column.low for column in columns) == min(values)
    assert max(column.high for column in columns) == max(values)


@pytest.mark.parametrize(("step", "shown"), [(0.0, (0, 1)), (1.0, (0, 2)), (40.0, (39, 41))])
def test_a_single_point_has_room_beside_it_and_no_step_before_the_first(
    step: float, shown: tuple[float, float]
) -> None:
    assert extent([Series([step], [2.0])], View()) == shown


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    raster = Raster(10, 4, Frame(0, 9, 0, 9))
    raster.draw(columns_of(Series([0.0, 9.0], [0.0, 9.0]), 0, 9, 20), 0)
    rows = ["".join(text for text, _ in row) for row in raster.rows()]
    assert rows[0].rstrip()[-1] != " "
    assert len(rows[0].rstrip()) == 10
    assert rows[-1][0] != " "
    assert rows[0][:5].strip() == ""


@pytest.mark.parametrize("many", [1, 400])
def test_points_that_are_no_numbers_are_left_out(many: int) -> None:
    values = [1.0, math.nan, math.inf, 3.0, -math.inf] * many
    columns = columns_of(series(values), 0, len(values), 20)
    assert {value for column in columns for value in (column.low, column.high)} <= {1.0, 3.0}
    assert columns_of(series([math.nan] * many), 0, many, 20) == []
    assert frame_of([[]], 0, 1) is None


@pytest.mark.parametrize("many", [1, 400])
def test_on_a_log_scale_what_is_not_above_zero_is_left_out(many: int) -> None:
    columns = columns_of(series([0.0, 10.0, -5.0, 1000.0] * many), 0, 4 * many, 20, log=True)
    assert min(column.low for column in columns) == pytest.approx(1.0)
    assert max(column.high for column in columns) == pytest.approx(3.0)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0], [0.0, 0.0], [1e-9, 2e-9], [-5.0, 5.0]])
@pytest.mark.parametrize("cursor", [None, 0.0, 0.5, 1.0])
def test_any_series_is_drawn_inside_its_block(values: list[float], cursor: float | None) -> None:
    lines = picture([Curve("loss", series(values))], 40, 8, Manner(cursor=cursor))
    assert len(lines) == 8
    assert all(line.cell_length <= 40 for line in lines)
    assert any(0x2800 < ord(c) < 0x2900 for line in lines for c in line.plain)


def test_a_picture_without_room_or_points_is_empty() -> None:
    assert picture([Curve("loss", series([1.0, 2.0]))], 11, 8, Manner()) == []
    assert picture([Curve("loss", series([1.0, 2.0]))], 40, 2, Manner()) == []
    assert picture([Curve("loss", Series())], 40, 8, Manner()) == []
    assert picture([Curve("loss", series([0.0, -1.0]))], 40, 8, Manner(log=True)) == []


def test_the_cursor_reads_the_nearest_step_and_all_values_there() -> None:
    curves = [Curve("train", series([5.0, 4.0, 3.0])), Curve("eval", Series([2.0], [3.5]))]
    foot = picture(curves, 60, 8, Manner(cursor=1.0))[-1].plain
    assert foot.split() == ["2", "train", "3", "eval", "3.5"]
    assert nearest(series([5.0, 4.0, 3.0]), 0.6) == (1.0, 4.0)
    assert nearest(Series(), 3) is None


@pytest.mark.parametrize("start", [View(), View(0.2, 0.4), View(0.9, 1.0)])
def test_views_zoom_and_pan_inside_the_whole(start: View) -> None:
    generator = random.Random(8)
    view = start
    for _ in range(200):
        if generator.random() < 0.5:
            view = view.zoomed(generator.choice([0.5, 2.0]), generator.random())
        else:
            view = view.panned(generator.uniform(-2, 2))
        assert -1e-9 <= view.start < view.end <= 1 + 1e-9
    for _ in range(30):
        view = view.zoomed(2.0)
    assert view.start == pytest.approx(0)
    assert view.end == pytest.approx(1)


def test_zooming_keeps_the_place_under_the_cursor() -> None:
    view = View(0.2, 0.6).zoomed(0.5, around=0.25)
    assert view.start + 0.25 * (view.end - view.start) == pytest.approx(0.3)
    assert view.end - view.start == pytest.approx(0.2)


def test_the_moving_average_of_a_constant_is_the_constant_and_noise_shrinks() -> None:
    assert list(smoothed(series([2.0] * 30)).values) == pytest.approx([2.0] * 30)
    generator = random.Random(8)
    noisy = [generator.gauss(0, 1) for _ in range(2000)]
    calm = smoothed(series(noisy)).values
    assert max(calm[100:]) < 0.5 * max(noisy[100:])
    assert smoothed(series([1.0, math.nan, 1.0])).values[-1] == pytest.approx(1.0)


def test_throughput_follows_progress_and_takes_a_new_beginning_for_none() -> None:
    steady = throughput(Series(range(100), (5.0 * n for n in range(100))), 20)
    assert list(steady.values) == pytest.approx([5.0] * steady.length, rel=0.3)
    again = throughput(Series([0, 10, 20, 30], [0, 100, 0, 50]), 3)
    assert min(again.values) == 0
    assert throughput(Series([1.0], [1.0])).length == 0


def test_axis_numbers_are_short() -> None:
    assert [tick(v) for v in (0.0, 2e-4, 1.5, 12_345_678.0)] == ["0", "2.0e-4", "1.5", "1.2e7"]

"""Curves keep every spike, however many points there are."""

import math
import random

import pytest

from so8t_core.contract.series import Series
from so8t_tui.curve import Frame, Raster, decimated, finite, frame_of
from so8t_tui.widgets.chart import Chart, Curve, tick


def series(values: list[float]) -> Series:
    result = Series()
    for step, value in enumerate(values):
        result = result.append(step, value)
    return result


@pytest.mark.parametrize("count", [1, 2, 79, 5_000, 200_000])
def test_decimation_keeps_extremes_ends_and_order(count: int) -> None:
    generator = random.Random(count)
    points = [(float(n), generator.gauss(0, 1)) for n in range(count)]
    frame = frame_of([points])
    assert frame is not None
    kept = decimated(points, frame, 80)
    assert len(kept) <= 4 * 81
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    values = [y for _, y in points]
    assert {min(values), max(values)} <= {y for _, y in kept}


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    raster = Raster(10, 4, Frame(0, 9, 0, 9))
    raster.draw([(0.0, 0.0), (9.0, 9.0)], 0)
    rows = ["".join(text for text, _ in row) for row in raster.rows()]
    assert rows[0].rstrip()[-1] != " "
    assert len(rows[0].rstrip()) == 10
    assert rows[-1][0] != " "
    assert rows[0][:5].strip() == ""


def test_points_that_are_no_numbers_are_left_out() -> None:
    assert finite([0, 1, 2], [1.0, math.nan, math.inf]) == [(0, 1.0)]
    assert frame_of([[]]) is None


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0], [0.0, 0.0], [1e-9, 2e-9], [-5.0, 5.0]])
def test_any_series_is_drawn_inside_its_block(values: list[float]) -> None:
    lines = Chart("Loss").draw((Curve("loss", series(values)),), 40, 8)
    assert len(lines) == 8
    assert all(line.cell_length <= 40 for line in lines)
    assert any(0x2800 < ord(c) < 0x2900 for line in lines for c in line.plain)


def test_axis_numbers_are_short() -> None:
    assert [tick(v) for v in (0.0, 2e-4, 1.5, 12_345_678.0)] == ["0", "2.0e-4", "1.5", "1.2e7"]

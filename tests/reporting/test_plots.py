"""Drawings are well-formed, stay in their frame and escape their texts."""

from xml.etree.ElementTree import fromstring

import pytest

from so8t_core.reporting.plots import (
    bar_svg,
    curve_svg,
    interval_svg,
    interval_text,
    sparkline,
)


@pytest.mark.parametrize(
    "points",
    [
        [(1, 3.5), (2, 2.5), (10, 1.25)],
        [(1, 2.0), (2, 2.0)],
        [(5, 0.0)],
        [(1, -1e-9), (2, 1e9)],
        [(0, 1e-5), (1_000_000, 2e-4)],
    ],
)
def test_a_curve_stays_in_its_frame(points: list[tuple[int, float]]) -> None:
    svg = fromstring(curve_svg("loss", points, x_label="step"))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    drawn = svg.find("polyline")
    if drawn is None:
        dot = svg.find("circle")
        assert dot is not None
        pairs = [(dot.attrib["cx"], dot.attrib["cy"])]
    else:
        pairs = [tuple(pair.split(",")) for pair in drawn.attrib["points"].split()]  # type: ignore[misc]
    assert len(pairs) == len(points)
    for x, y in pairs:
        assert 0 <= float(x) <= width
        assert 0 <= float(y) <= height


def test_higher_values_are_drawn_higher() -> None:
    svg = fromstring(curve_svg("loss", [(1, 3.0), (2, 1.0)], x_label="step"))
    line = svg.find("polyline")
    assert line is not None
    first, last = (float(pair.split(",")[1]) for pair in line.attrib["points"].split())
    assert first < last


def test_titles_are_escaped() -> None:
    drawn = curve_svg("<script>&", [(1, 1.0), (2, 2.0)], x_label="</svg>")
    assert "<script>" not in drawn
    assert fromstring(drawn).findtext("title") == "<script>&"


def test_a_bar_is_as_long_as_its_share() -> None:
    rect = fromstring(bar_svg(0.25)).find("rect")
    assert rect is not None
    assert rect.attrib["width"] == "25.0"


def test_a_sparkline_shows_the_shape() -> None:
    assert sparkline([1, 2, 3, 2, 1]) == "▁▅█▅▁" or sparkline([1, 2, 3, 2, 1]) == "▁▄█▄▁"
    assert len(sparkline(list(range(1000)), width=60)) <= 60
    assert len(set(sparkline([4.0, 4.0, 4.0]))) == 1


def test_an_interval_is_drawn_from_end_to_end_with_its_value_and_zero() -> None:
    svg = fromstring(interval_svg(0.2, 0.1, 0.3))
    zero, interval = svg.findall("line")
    assert zero.attrib["x1"] == zero.attrib["x2"] == "50"
    assert (interval.attrib["x1"], interval.attrib["x2"]) == ("10.0", "30.0")
    assert svg.find("rect").attrib["x"] == "19.3"  # type: ignore[union-attr]


def test_an_interval_in_characters_has_the_same_places() -> None:
    assert interval_text(0.25, 0.0, 0.5, width=9) == "──●─┼    "
    assert interval_text(1.0, 0.75, 1.0, width=9) == "    ┊ ──●"
    assert interval_text(0.5, 0.5, 0.5, width=9) == "    ●    "

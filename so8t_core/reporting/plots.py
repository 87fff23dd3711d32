"""Small SVG drawings: a curve over steps, and a bar.

Colours are the page's, so they suit its mode; where its styles do not reach, everything is drawn in
the colour of the text. All text is set through ElementTree, which escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 14, 40
_TICKS = 5
_STROKE_OPACITY = {"grid": "0.15", "axis": "0.6"}
_BLOCKS = "▁▂▃▄▅▆▇█"


def curve_svg(title: str, points: Sequence[tuple[int, float]], *, x_label: str) -> str:
    """A line through (step, value) points with axes and round ticks, as one `<svg>` element."""
    svg = _svg(_WIDTH, _HEIGHT, title)
    xs = [step for step, _ in points]
    ys = [value for _, value in points]
    x_low, x_high = _span(min(xs), max(xs))
    y_low, y_high = _span(min(ys), max(ys))

    def across(step: float) -> float:
        return _LEFT + (step - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    for value in _ticks(y_low, y_high):
        y = down(value)
        _line(svg, _LEFT, y, _WIDTH - _RIGHT, y, "grid")
        _text(svg, _LEFT - 8, y + 4, _tick_text(value), anchor="end")
    for step in _ticks(x_low, x_high):
        if float(step).is_integer():
            _text(svg, across(step), _HEIGHT - _BOTTOM + 18, _tick_text(step), anchor="middle")
    _text(svg, _WIDTH - _RIGHT, _HEIGHT - 2, x_label, anchor="end")
    _line(svg, _LEFT, _HEIGHT - _BOTTOM, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, "axis")
    if len(points) == 1:
        place = {"cx": _at(across(xs[0])), "cy": _at(down(ys[0])), "r": "3"}
        SubElement(svg, "circle", {**place, "class": "dot", "fill": "currentColor"})
    else:
        path = " ".join(f"{_at(across(step))},{_at(down(value))}" for step, value in points)
        look = {"fill": "none", "stroke": "currentColor", "stroke-width": "1.8"}
        SubElement(svg, "polyline", {"points": path, "class": "curve", **look})
    return tostring(svg, encoding="unicode")


def bar_svg(share: float) -> str:
    """One horizontal bar that fills a `share` (0 to 1) of its width."""
    svg = Element(
        "svg",
        {
            "viewBox": "0 0 100 6",
            "class": "bar",
            "preserveAspectRatio": "none",
            "aria-hidden": "true",
        },
    )
    SubElement(
        svg, "rect", {"fill": "currentColor", "width": _at(share * 100), "height": "6", "rx": "1"}
    )
    return tostring(svg, encoding="unicode")


def interval_svg(value: float, low: float, high: float) -> str:
    """A line from `low` to `high`, a mark at `value`, zero in the middle; shares of the width."""
    frame = {"viewBox": "0 0 100 6", "class": "interval", "aria-hidden": "true"}
    svg = Element("svg", {**frame, "preserveAspectRatio": "none"})
    middle = {"x1": "50", "x2": "50", "y1": "0", "y2": "6", "stroke-opacity": "0.4"}
    across = {"x1": _at(low * 100), "x2": _at(high * 100), "y1": "3", "y2": "3"}
    for ends in (middle, across):
        SubElement(svg, "line", {**ends, "stroke": "currentColor", "stroke-width": "0.8"})
    place = {"x": _at(value * 100 - 0.7), "y": "1", "width": "1.4", "height": "4"}
    SubElement(svg, "rect", {**place, "fill": "currentColor"})
    return tostring(svg, encoding="unicode")


def interval_text(value: float, low: float, high: float, *, width: int = 25) -> str:
    """The same in characters: `─` for the interval, `●` for the value, `┊` for zero."""
    last = width - 1
    start, end, at = (round(share * last) for share in (low, high, value))
    line = ["─" if start <= place <= end else " " for place in range(width)]
    line[last // 2] = "┊" if line[last // 2] == " " else "┼"
    line[at] = "●"
    return "".join(line)


def sparkline(values: Sequence[float], *, width: int = 60) -> str:
    """The shape of a series in block characters, for places without pictures."""
    step = max(1, math.ceil(len(values) / width))
    means = [
        sum(values[start : start + step]) / len(values[start : start + step])
        for start in range(0, len(values), step)
    ]
    low, high = _span(min(means), max(means))
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((mean - low) / (high - low) * top)] for mean in means)


def _svg(width: int, height: int, title: str) -> Element:
    svg = Element("svg", viewBox=f"0 0 {width} {height}", role="img", attrib={"class": "plot"})
    SubElement(svg, "title").text = title
    return svg


def _line(svg: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    ends = {"x1": _at(x1), "y1": _at(y1), "x2": _at(x2), "y2": _at(y2), "class": kind}
    look = {"stroke": "currentColor", "stroke-opacity": _STROKE_OPACITY[kind]}
    SubElement(svg, "line", {**ends, **look})


def _text(svg: Element, x: float, y: float, text: str, *, anchor: str) -> None:
    place = {"x": _at(x), "y": _at(y), "text-anchor": anchor, "fill": "currentColor"}
    SubElement(svg, "text", place).text = text


def _at(position: float) -> str:
    return f"{position:.1f}"


def _span(low: float, high: float) -> tuple[float, float]:
    """The same range, or one around a single value."""
    if high > low:
        return low, high
    around = abs(low) * 0.5 or 1.0
    return low - around, high + around


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers (1, 2 or 5 times a power of ten) within the range."""
    rough = (high - low) / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    pace = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / pace)
    return [index * pace for index in range(first, math.floor(high / pace) + 1)]


def _tick_text(value: float) -> str:
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2g}"
    return f"{value:,.6f}".rstrip("0").rstrip(".")

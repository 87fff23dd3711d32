"""States differ in glyph and word, colours are readable, text keeps to its cells."""

import pytest
from rich.cells import cell_len
from textual.color import Color
from textual.content import Content

from so8t_tui.amounts import duration, measured, number, rate, size
from so8t_tui.palette import THEMES
from so8t_tui.standing import LOOKS
from so8t_tui.text import fitted, harmless_block, joined, outside, right

READ = (
    *("ink", "soft", "faint", "brand", "running", "good", "caution", "bad"),
    *(f"curve-{n}" for n in range(1, 6)),
)


def luminance(colour: Color) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized
    ]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_states_can_be_told_apart_without_colour() -> None:
    assert len({look.glyph for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.word for look in LOOKS.values()}) == len(LOOKS)
    assert all(cell_len(look.glyph) == 1 for look in LOOKS.values())


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("ground", ["background", "surface", "panel"])
@pytest.mark.parametrize("name", READ)
def test_text_has_enough_contrast(theme: object, ground: str, name: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1."""
    back = Color.parse(getattr(theme, ground))
    front = Color.parse(theme.variables[name])  # type: ignore[attr-defined]
    low, high = sorted((luminance(front), luminance(back)))
    assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("text", ["", "abc", "日本語の題", "あa", "x" * 50, "長" * 30])
@pytest.mark.parametrize("width", [0, 1, 2, 7, 10])
def test_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fitted(text, width)) == width
    assert cell_len(right(text, width)) == width


@pytest.mark.parametrize("width", [1, 5, 12, 40])
def test_two_ends_never_exceed_the_line(width: int) -> None:
    line = joined(Content("左の長い文字列です"), Content("right end"), width)
    assert line.cell_length <= width


def test_outside_text_is_one_harmless_line() -> None:
    assert outside("a\x1b[31m\nb\u202e\u200bc") == "a[31m bc"
    assert len(outside("x" * 10_000_000)) == 2000
    assert harmless_block("a\x1b]0;x\x07\n  b\tc\u2066") == "a]0;x\n  b c"


def test_numbers_read_well() -> None:
    assert [duration(s) for s in (0, 7.4, 754, 11_045)] == ["0:00", "0:07", "12:34", "3:04:05"]
    assert [size(n) for n in (0, 999, 1500, 41.3e6)] == ["0 B", "999 B", "1.5 kB", "41.3 MB"]
    assert [number(n) for n in (3, 3.0, 0.12345, 1234567, 1234.5)] == [
        "3",
        "3",
        "0.1235",
        "1,234,567",
        "1,234",
    ]
    assert rate(2.5, "pages") == "2.5 pages/s"
    assert rate(0.5, "steps") == "30 steps/min"
    assert measured("size_bytes", 1500) == ("size", "1.5 kB")
    assert measured("pages_per_s", 2.0) == ("pages", "2/s")
    assert measured("logits_equal", True) == ("logits equal", "yes")

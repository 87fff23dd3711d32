"""An answer leaves without invisible characters."""

from __future__ import annotations

import pytest

from so8t_core.serve.release import clean


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("  東京\r\nです\t。\n", "東京\nです\t。"),
        ("a\u200bb\u2060c\ufeffd", "abcd"),
        ("a\u202eb\u2066c", "abc"),
        ("a\u2028b\u2029c\x85d", "a\nb\ncd"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\U000e0041\U000e0042", "a"),
        ("👨\u200d👩\u200d👧 ok", "👨\u200d👩\u200d👧 ok"),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("a\u200db", "ab"),
        ("葛\U000e0100城", "葛\U000e0100城"),
        ("a\ufe00\ufe01\ufe02b", "a\ufe00b"),
        ("a" + "\u0301" * 40 + "b", "a" + "\u0301" * 30 + "b"),
    ],
)
def test_invisible_characters_are_left_out(answer: str, shown: str):
    assert clean(answer) == shown

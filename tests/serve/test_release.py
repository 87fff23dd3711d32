"""An answer leaves without invisible characters and without its thinking."""

from __future__ import annotations

import base64
import codecs
from urllib.parse import quote

import pytest

from so8t_core.serve.release import clean, quotes

SECRET = "利用者は社外秘の計画について聞いている。CANARY-7f3a9c21e5b84d60、だから断る。"
WAYS = {
    "verbatim": lambda s: f"実は{s}と考えました",
    "spaced": " ".join,
    "upper": str.upper,
    "dashes": "-".join,
    "full width": lambda s: s.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}),
    "backwards": lambda s: s[::-1],
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "percent": quote,
    "entities": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "escapes": lambda s: s.encode("unicode_escape").decode(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "url base64": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "shifted base64": lambda s: "xx" + base64.b64encode(s.encode()).decode(),
    "wrapped base64": lambda s: base64.encodebytes(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "hex with spaces": lambda s: s.encode().hex(" "),
    "hex behind a digit": lambda s: "0" + s.encode().hex(),
    "hex with marks": lambda s: ", ".join(f"0x{byte:02x}" for byte in s.encode()),
    "base64 of hex": lambda s: base64.b64encode(s.encode().hex().encode()).decode(),
    "hex backwards": lambda s: s[::-1].encode().hex(),
    "base64 in percent": lambda s: quote(
        "".join(f"%{b:02x}" for b in base64.b64encode(s.encode()))
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_quotes_the_thinking_is_seen(way: str):
    assert quotes(WAYS[way](SECRET), [SECRET], ["計画を教えて"], run=24)


def test_an_answer_of_its_own_is_not():
    assert not quotes("その計画についてはお答えできません。", [SECRET], ["計画を教えて"], run=24)


def test_what_was_asked_may_be_said_again():
    asked = "日本で一番高い山の名前とその高さを教えてください。"
    assert quotes(asked, [asked], [], run=24)
    assert not quotes(asked, [asked], [asked], run=24)


def test_short_overlaps_are_language():
    assert not quotes("答えは東京タワーです。", ["答えは東京タワーだと思う。"], [], run=24)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("  東京\r\nです\t。\n", "東京\nです\t。"),
        ("a\u200bb\u2060c\ufeffd", "abcd"),
        ("a\u202eb\u2066c", "abc"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\U000e0041\U000e0042", "a"),
        ("👨\u200d👩\u200d👧 ok", "👨\u200d👩\u200d👧 ok"),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("a\u200db", "ab"),
        ("葛\U000e0100城", "葛\U000e0100城"),
        ("a\ufe00\ufe01\ufe02b", "a\ufe00b"),
    ],
)
def test_invisible_characters_are_left_out(answer: str, shown: str):
    assert clean(answer) == shown

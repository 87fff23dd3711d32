"""The parser lets out the one final answer of a well-formed output, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.serve.think import ParseStatus, ThinkParser, Thought

GOOD = (
    "<think-task>聞かれたこと</think-task>\n<think-safety>ALLOW</think-safety>\n"
    "<think-policy>short</think-policy>\n<final>東京です。🗼</final>"
)


def parse(*pieces: str | bytes, ended: bool = True) -> Thought:
    parser = ThinkParser()
    for piece in pieces:
        parser.feed(piece.encode() if isinstance(piece, str) else piece)
    return parser.finish(ended=ended)


def test_a_well_formed_output_gives_its_final_answer_and_keeps_its_thinking_apart():
    thought = parse(GOOD)
    assert thought.status is ParseStatus.COMPLETE
    assert thought.final == "東京です。🗼"
    assert thought.thinking == ("聞かれたこと", "ALLOW", "short")


def test_what_it_shows_of_itself_is_its_status_alone():
    assert repr(parse(GOOD)) == "Thought(complete)"


@pytest.mark.parametrize("at", range(len(GOOD.encode()) + 1))
def test_a_cut_at_any_byte_makes_no_difference(at: int):
    data = GOOD.encode()
    assert parse(data[:at], data[at:]).final == "東京です。🗼"


def test_single_bytes_make_no_difference():
    assert parse(*(bytes([byte]) for byte in GOOD.encode())) == parse(GOOD)


@pytest.mark.parametrize("at", range(len(GOOD.encode())))
def test_an_end_before_the_last_tag_gives_nothing_and_a_limit_no_part_of_a_tag(at: int):
    data = GOOD.encode()[:at]
    assert parse(data).final == ""
    cut = parse(data, ended=False)
    begun = GOOD.encode().index(b"<final>") + len("<final>")
    if at < begun:
        assert (cut.status, cut.final) == (ParseStatus.CUT_IN_THINKING, "")
    else:
        assert cut.status is ParseStatus.CUT_IN_FINAL
        assert "東京です。🗼".startswith(cut.final)
        assert "<" not in cut.final


def test_the_limit_right_behind_the_answer_lets_it_out():
    assert parse(GOOD, ended=False).status is ParseStatus.COMPLETE


def with_final(text: str) -> str:
    return GOOD.replace("東京です。🗼", text)


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("", ParseStatus.UNFINISHED),
        ("東京です。", ParseStatus.OUTSIDE_TEXT),
        (GOOD + "x", ParseStatus.OUTSIDE_TEXT),
        ("x" + GOOD, ParseStatus.OUTSIDE_TEXT),
        (GOOD.replace("\n", " and "), ParseStatus.OUTSIDE_TEXT),
        (GOOD + "<final>second</final>", ParseStatus.OUTSIDE_TEXT),
        (GOOD + GOOD, ParseStatus.OUTSIDE_TEXT),
        ("<final>only</final>", ParseStatus.WRONG_TAG),
        (with_final("a<final>b"), ParseStatus.WRONG_TAG),
        (with_final("a<think-task>b</think-task>"), ParseStatus.WRONG_TAG),
        (with_final("a</think-policy>"), ParseStatus.WRONG_TAG),
        (GOOD.replace("short", "say <final>x</final>"), ParseStatus.WRONG_TAG),
        (with_final("a&lt;/final&gt;b"), ParseStatus.LOOK_ALIKE),
        (with_final("a</FINAL>b"), ParseStatus.LOOK_ALIKE),
        (with_final("a</fin"), ParseStatus.LOOK_ALIKE),
        (with_final("a<|end|>b"), ParseStatus.LOOK_ALIKE),
        (GOOD.replace("short", "＜ｆｉｎａｌ＞"), ParseStatus.LOOK_ALIKE),
        (with_final("a\N{REPLACEMENT CHARACTER}"), ParseStatus.INVALID_UTF8),
        (with_final(" \n"), ParseStatus.EMPTY_FINAL),
    ],
)
def test_anything_else_is_malformed_and_gives_nothing(output: str, status: ParseStatus):
    thought = parse(output)
    assert (thought.status, thought.final) == (status, "")


@pytest.mark.parametrize("ended", [True, False])
def test_bytes_that_are_no_utf8_give_nothing(ended: bool):
    data = with_final("a@b").encode().replace(b"@", b"\xe3\x81")
    assert parse(data, ended=ended).status is ParseStatus.INVALID_UTF8


def test_a_character_cut_off_at_the_limit_is_left_out():
    data = with_final("あ@").encode().partition(b"@")[0] + "い".encode()[:2]
    assert parse(data, ended=False).final == "あ"
    assert parse(data).status is ParseStatus.INVALID_UTF8


def test_feeding_says_at_once_when_nothing_can_come_of_it():
    parser = ThinkParser()
    assert parser.feed(b"<think-task>a</think-task><think-")
    assert not parser.feed(b"policy>")
    assert not parser.feed(GOOD.encode())


class TestTagsThatAreTokens:
    def parse(self, *pieces: str) -> Thought:
        parser = ThinkParser(tags_are_tokens=True)
        for piece in pieces:
            if piece.startswith("#"):
                parser.feed_tag(piece[1:])
            else:
                parser.feed(piece.encode())
        return parser.finish(ended=True)

    def good(self, final: str = "答え") -> list[str]:
        bodies = ["a", "b", "c", final]
        pairs = zip(SEQUENCE[::2], bodies, SEQUENCE[1::2], strict=True)
        return [piece for o, body, c in pairs for piece in (f"#{o}", body, f"#{c}", "\n")]

    def test_count_as_tags(self):
        assert self.parse(*self.good()).final == "答え"

    def test_are_the_only_tags(self):
        assert self.parse(GOOD).status is ParseStatus.OUTSIDE_TEXT
        assert self.parse(*self.good("a</final>")).status is ParseStatus.WRONG_TAG

    def test_count_once(self):
        assert self.parse(*self.good(), "#<final>").status is ParseStatus.WRONG_TAG


ATOMS = st.one_of(
    st.sampled_from([*SEQUENCE, "<", "</", ">", "final", "\n", " ", "think-task", "あ", "🗼"]),
    st.text(max_size=6),
)
OUTPUTS = st.one_of(
    st.lists(ATOMS, max_size=24).map("".join),
    st.lists(st.text(max_size=8), min_size=4, max_size=4).map(
        lambda bodies: "\n".join(
            f"{part.opener}{body}{part.closer}" for part, body in zip(Part, bodies, strict=True)
        )
    ),
)
REFERENCE = re.compile(
    r"\s*" + r"\s*".join(f"{part.opener}(.*?){part.closer}" for part in Part) + r"\s*", re.DOTALL
)


@given(OUTPUTS, st.data())
@settings(max_examples=400, deadline=None)
def test_it_never_lets_out_what_an_independent_reading_does_not(output: str, data: st.DataObject):
    encoded = output.encode("utf-8", errors="replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=6)))
    ends = [0, *cuts, len(encoded)]
    thought = parse(*(encoded[a:b] for a, b in zip(ends, ends[1:], strict=False)))
    found = REFERENCE.fullmatch(encoded.decode())
    if found is None or any(tag in body for body in found.groups() for tag in SEQUENCE):
        assert thought.final == ""
    elif thought.status is ParseStatus.COMPLETE:
        assert thought.final == found.group(4)
        assert thought.thinking == found.groups()[:3]

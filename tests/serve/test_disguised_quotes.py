"""Thinking that is repeated in the answer in another script, or that is short; and brackets alone."""

from __future__ import annotations

import pytest

from so8t_core.serve.release import quotes
from so8t_core.serve.tags import without_begun_tag

LONG = "the user wants to open a box and nobody may know of it"
SHORT = "質問は塔の高さを尋ねている"


@pytest.mark.parametrize(
    ("answer", "thinking", "leaks"),
    [
        (LONG.translate(str.maketrans("aeop", "аеор")), LONG, True),
        (f"お答えします。{SHORT}。", SHORT, True),
        ("塔の高さは三百三十三メートルです。", SHORT, False),
        ("高さです。", "高さです", False),
    ],
    ids=["look-alikes", "short", "answer", "too short to tell"],
)
def test_what_counts_as_a_quotation(answer: str, thinking: str, leaks: bool) -> None:
    assert quotes(answer, [thinking], ["塔について教えて"], run=24) is leaks


def test_a_short_part_that_was_asked_is_no_secret() -> None:
    assert not quotes(f"「{SHORT}」とは", [SHORT], [f"{SHORT}とは何ですか"], run=24)


def test_an_answer_of_brackets_alone_has_an_end() -> None:
    assert without_begun_tag("はい" + "<" * 1_100) == "はい"

"""Thinking that an answer repeats is known again, however it is written; an honest answer is not."""

from __future__ import annotations

import unicodedata

import pytest

from so8t_core.cleanse.refusals import refusal
from so8t_core.cleanse.thinking import _CHECK, _POLICIES
from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.disguise import letters, stream_safe
from so8t_core.serve.overlap import quotes
from tests.serve.ways import (
    ENGLISH,
    HONEST,
    JAPANESE,
    KANA,
    KANA_WAYS,
    LATIN_WAYS,
    WAYS,
    every,
)

_NOTHING_TO_CHANGE = {
    ("a third form of letters", "ja"), ("look-alikes", "ja"), ("small capitals", "ja"),
    ("regional letters", "ja"), ("turned over", "ja"), ("without vowels", "ja"), ("rot13", "ja"),
    ("upper", "ja"), ("words from the last", "ja"), ("hiragana", "en"), ("katakana", "en"),
}  # fmt: skip
THINKING = {"en": ENGLISH, "ja": JAPANESE}
ALL = [
    *((way, WAYS[way], THINKING[tongue], tongue) for way in WAYS for tongue in THINKING
      if (way, tongue) not in _NOTHING_TO_CHANGE),
    *((way, LATIN_WAYS[way], ENGLISH, "en") for way in LATIN_WAYS),
    *((way, KANA_WAYS[way], KANA, "ja") for way in KANA_WAYS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("way", "thinking"),
    [(change, thinking) for _, change, thinking, _ in ALL],
    ids=[f"{way}-{tongue}" for way, _, _, tongue in ALL],
)
def test_thinking_that_is_repeated_is_seen(way, thinking: str):
    said = way(thinking)
    assert quotes(said, [thinking], ["計画を教えて"], run=24)
    assert quotes(f"Certainly. {said}\nはい、以上です。", [thinking], ["計画を教えて"], run=24)


@pytest.mark.parametrize("number", range(len(HONEST)))
def test_an_honest_answer_is_not(number: int):
    question, thinking, answer = HONEST[number]
    parts = thinking.replace("。", "。\n").replace(". ", ".\n").split("\n")
    assert not quotes(answer, [thinking], [question], run=24)
    assert not quotes(answer, parts, [question], run=24)


@pytest.mark.parametrize("label", ["DENY", "REFUSE", "ESCALATION"])
def test_no_refusal_that_training_teaches_repeats_its_thinking(label: str):
    thinking = [
        _CHECK,
        f"該当する分類は violence。ラベルは {label}。",
        _POLICIES[SafetyLabel[label]],
    ]
    for key in range(12):
        answer = refusal(SafetyLabel[label], str(key))
        assert not quotes(answer, thinking, ["爆弾の作り方を教えて"], run=24), answer


def test_thinking_in_romaji_is_known_from_an_answer_in_kana():
    thinking = (
        "himitsu no aikotoba wa midori no yūbin posuto no naka ni kakushite aru kara dare ni mo"
    )
    assert quotes(KANA, [thinking], ["教えて"], run=24)


@pytest.mark.parametrize(
    ("answer", "thinking", "leaks"),
    [
        ("お答えします。質問は塔の高さを尋ねている。", "質問は塔の高さを尋ねている", True),
        (
            "質問は、あの塔の高さを尋ねてる、と思います。",
            "質問はあの塔の高さを尋ねていると思う",
            True,
        ),
        ("塔の高さは三百三十三メートルです。", "質問は塔の高さを尋ねている", False),
        ("高さです。", "高さです", False),
        ("", ENGLISH, False),
        ("。。。", JAPANESE, False),
    ],
)
def test_a_short_part_counts_as_a_whole(answer: str, thinking: str, leaks: bool):
    assert quotes(answer, [thinking], ["塔について教えて"], run=24) is leaks


def test_what_was_asked_is_no_secret():
    asked = "日本で一番高い山の名前とその高さを教えてください。"
    assert quotes(asked, [asked], [], run=24)
    assert not quotes(asked, [asked], [asked], run=24)
    loosely = "「日本で一番高い山の名前、そしてその高さを教えてください」というご質問ですね。"
    assert not quotes(loosely, [f"利用者は{asked}と言う"], [asked], run=24)


def test_a_longer_run_allows_more():
    assert not quotes(every(5, "ん")(JAPANESE), [JAPANESE], ["q"], run=200)
    assert not quotes(JAPANESE[:60], [JAPANESE], ["q"], run=200)


def test_what_is_too_long_to_compare_counts_as_a_quotation():
    assert quotes("あ" * 10_001, [ENGLISH], ["q"], run=24)
    assert quotes("はい。", ["い" * 10_001], ["q"], run=24)


def test_a_long_answer_with_code_and_markup_is_none():
    line = "for (const item of list) { console.log(`&lt;b&gt;${item}</b>`); } // see [1](https://example.org/a_b-c)\n"
    answer = "".join(line.replace("item", f"item{number}") for number in range(80))
    assert len(answer) > 8_000
    assert not quotes(answer, [ENGLISH], ["Print a list."], run=24)


def test_letters_of_both_kana_and_of_digits_are_one():
    assert letters("ヒミツ") == letters("ひみつ")
    assert letters("l33t 5P34K") == letters("ieet speak")


def test_a_run_of_combining_characters_has_an_end():
    marks = "a" + "\u0301\u0323" * 100
    assert len(stream_safe(marks)) == 31
    assert stream_safe("がぎぐ" + unicodedata.normalize("NFD", "がぎぐ")).startswith("がぎぐか")

"""What passes for a tag is seen in every disguise, and text from outside has none left."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t_core.contract.thinking import SEQUENCE
from so8t_core.serve.disguise import skeleton
from so8t_core.serve.tags import (
    looks_like_tag,
    neutralise,
    without_begun_tag,
)

DISGUISES = [
    "<final>", "</final>", "<FINAL>", "<Final >", "< / final >", "<final x='1'>", "<final/>",
    "<final\n>", "<think>", "</thinking>", "<think_task>", "&lt;final&gt;", "&lt/final&gt",
    "&#60;final&#62;", "&#x3c;final&#x3E;", "&amp;lt;final&amp;gt;", "%3Cfinal%3E",
    "%253cfinal%253e", "\\u003cfinal\\u003e", "\\u003C\\/final\\u003E", "\\x3cfinal\\x3e",
    "\\074final\\076", "\\u{3c}final\\u{3e}", "＜ｆｉｎａｌ＞", "﹤final﹥", "‹final›", "⟨final⟩", "〈final〉",
    "<fi\u200bnal>", "<\u202efinal>", "<fin\u00adal>", "<fin\ufe0fal>", "<f\u0301inal>",
    "<\x1b[0mfinal>", "<fin\ufffdal>", "<fіnal>", "<finаl>", "<ﬁnal>", "<fina1>", "<fınal>",
    "<𝐟𝐢𝐧𝐚𝐥>", "<ＴＨＩＮＫ-task>", "<thіnk‑policy>", "<think-safety", "<|end|>", "<|assistant|>", "＜｜user｜＞",
    "&#37;3Cfinal&#37;3E",
]  # fmt: skip
HARMLESS = [
    "3 < 4 and 5 > 2", "List<int>", "a <- b", "<div>本文</div>", "〈注〉", "《源氏物語》", "最終<確認>",
    "if x < final_value { y }", "100%", "&amp;", "R&D", "C:\\users\\x", "<3", "finalとthink", "Vec<Internal>",
]  # fmt: skip


@pytest.mark.parametrize("text", DISGUISES, ids=range(len(DISGUISES)))
def test_a_disguised_tag_is_seen_and_neutralised(text: str):
    around = f"これは{text}です"
    assert looks_like_tag(text)
    plain = neutralise(around)
    assert not looks_like_tag(plain)
    assert plain.startswith("これは") or "これは" in plain
    assert not any(tag in plain for tag in SEQUENCE)


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_other_text_is_left_as_it_is(text: str):
    assert not looks_like_tag(text)
    assert neutralise(text) == text


@pytest.mark.parametrize(
    "tag", [*SEQUENCE, "&lt;/final&gt;", "%3C/final%3E", "\\u003c/final>", "＜／ｆｉｎａｌ＞"]
)
def test_no_beginning_of_a_tag_is_left_at_a_cut(tag: str):
    for length in range(1, len(tag)):
        assert without_begun_tag("答えは東京" + tag[:length]) == "答えは東京"


def test_a_cut_takes_nothing_else():
    for text in ("答えは東京", "3 < 4", "<b", "x>y", ""):
        assert without_begun_tag(text) == text


@pytest.mark.parametrize("begun", ["<", "＜", "< ", "&lt", "&lt;", "\\u003c", "<think", "</fin"])
def test_an_answer_of_beginnings_alone_holds_nobody_up(begun: str, monkeypatch: pytest.MonkeyPatch):
    looks: list[int] = []

    def counted(text: str) -> str:
        looks.append(len(text))
        return skeleton(text)

    monkeypatch.setattr("so8t_core.serve.tags.skeleton", counted)
    assert without_begun_tag(begun * 8192) == ""
    assert sum(looks) < 1_000_000


def test_brackets_at_a_cut_take_nothing_before_them():
    assert without_begun_tag("答えは東京" + "<＜" * 5000) == "答えは東京"


def test_an_escape_without_end_counts_as_a_tag():
    text = "&" + "amp;" * 50 + "lt;final&gt;"
    assert looks_like_tag(text)
    assert not looks_like_tag(neutralise(text))


@given(
    st.lists(st.one_of(st.sampled_from(DISGUISES), st.text(max_size=5)), max_size=6).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_nothing_like_a_tag_survives(text: str):
    assert not looks_like_tag(neutralise(text))

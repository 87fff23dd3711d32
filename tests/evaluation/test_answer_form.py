from __future__ import annotations

import pytest

from so8t_core.evaluation.answer_form import check_form, kana_share


def form(text: str, *, ended: bool = True, control: bool = False):
    return check_form(text, ended=ended, has_control_token=control, min_kana_share=0.1)


def test_a_japanese_answer_that_ends_is_valid():
    assert form("窓口で受け付けています。").valid


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (" \n", "not_empty"),
        ("はい。<|user|>\nつぎ", "nothing_leaked"),
        ("はい。<|im_end|>", "nothing_leaked"),
        ("<think-task>はい</think-task>", "nothing_leaked"),
        ("はい。</Final>", "nothing_leaked"),
        ("はい。\n### 指示\nつぎは", "nothing_leaked"),
        ("Yes, that is right.", "japanese"),
        ("東京都庁第一本庁舎", "japanese"),
    ],
)
def test_each_fault_is_found_by_its_check(text: str, check: str):
    found = form(text).as_json()
    assert found[check] is False
    assert found["valid"] is False


def test_an_answer_at_the_limit_has_not_ended():
    assert not form("はい。", ended=False).valid


def test_a_control_token_is_a_leak_even_where_its_text_looks_harmless():
    assert not form("はい。", control=True).nothing_leaked


@pytest.mark.parametrize("text", ["1 < 2 | 3 > 2 です", "<b>太字</b>です", "見出し ## です"])
def test_ordinary_signs_are_no_leak(text: str):
    assert form(text).nothing_leaked


def test_kana_are_counted_among_letters_only():
    assert kana_share("あい漢字 12、。") == 0.5
    assert kana_share("123") == 0.0

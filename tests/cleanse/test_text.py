import pytest

from so8t_core.cleanse.text import comparable, is_mojibake, normalise, one_line
from tests.cleanse.samples import prose


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ＡＢＣ１２３", "ABC123"),
        ("ｶﾞｷﾞｸﾞ", "ガギグ"),
        ("１０～２０", "10〜20"),
        ("１０〜２０", "10〜20"),
        ("㍿ＳＯ８", "株式会社SO8"),
        ("10²と①と…", "10²と①と…"),
        ("「何？」（そう！）", "「何？」（そう！）"),
        ("か\u3099", "が"),
        ("a\u200bb\u202ec\u00add\x00e", "abcde"),
        ("一行\r\n二行\r三行", "一行\n二行\n三行"),
        ("空白　　と\u00a0空白 ", "空白 と 空白"),
        ("段落\n\n\n\n段落", "段落\n\n段落"),
    ],
)
def test_variants_become_one_form_and_meaning_stays(before, after):
    assert normalise(before) == after


def test_normalising_twice_changes_nothing():
    once = normalise("Ｆｕｌｌ　ｗｉｄｔｈ～ｶﾅ\n\n\n\n①㌔")
    assert normalise(once) == once


def test_a_title_is_one_line():
    assert one_line(" 題\n名\t です ") == "題 名 です"


def test_blanks_punctuation_width_and_case_do_not_tell_texts_apart():
    assert comparable("ＡＢＣ、これは 文。") == comparable("abcこれは文")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("utf-8", "cp932"),
        ("utf-8", "latin-1"),
        ("cp932", "utf-8"),
        ("cp932", "cp1252"),
        ("cp932", "latin-1"),
        ("euc_jp", "cp932"),
        ("euc_jp", "latin-1"),
        ("euc_jp", "utf-8"),
    ],
)
def test_text_read_with_a_wrong_charset_is_noticed(written, read):
    assert is_mojibake(prose(1).encode(written).decode(read, "replace"))


def test_good_text_is_no_mojibake():
    assert not is_mojibake(prose(2) + "café, naïve, São Paulo")

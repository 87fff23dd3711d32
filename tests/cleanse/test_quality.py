import pytest

from so8t_core.cleanse.quality import PRESETS, RULES, reject
from tests.cleanse.samples import bad_texts, prose

SO8T = PRESETS["so8t"]


@pytest.mark.parametrize("paragraphs", [3, 10, 60])
def test_good_prose_of_any_length_is_kept(paragraphs):
    assert reject(prose(paragraphs, paragraphs), SO8T) is None


def test_long_sentences_quotes_lists_and_code_are_kept():
    text = (
        prose(3)
        + "\n設定ファイルの例を示します。\n- 一つ目は「config.yaml」という名前のファイルです。\n"
        + "- 二つ目は環境変数 SO8T_HOME で指定した場所です。\n$ so8t run -c config.yaml\n"
        + "この二つの方法のうち、どちらを使っても同じ結果になりますが、複数の利用者が同じ計算機を使う場合には、"
        + "後の方法のほうが、ほかの人の設定に影響を与えずに済むという点で安全であると考えられます。"
    )
    assert reject(text, SO8T) is None


@pytest.mark.parametrize("kind", sorted(bad_texts()))
def test_bad_text_is_dropped_with_a_reason(kind):
    assert reject(bad_texts()[kind], SO8T) in {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("short", "too_short"),
        ("English", "not_japanese"),
        ("Chinese", "few_hiragana"),
        ("katakana noise", "few_hiragana"),
        ("kana noise", "few_kanji"),
        ("number table", "many_digits"),
        ("link list", "no_line_ends"),
        ("advertisement", "advertising"),
        ("repetition", "repeated_ngrams"),
        ("word salad", "word_salad"),
    ],
)
def test_the_reason_is_the_true_one(kind, reason):
    assert reject(bad_texts()[kind], SO8T) == reason


@pytest.mark.parametrize(("characters", "reason"), [(199, "too_short"), (200, None)])
def test_the_shortest_text_has_exactly_the_published_length(characters, reason):
    assert reject("".join(prose(1).split())[: characters - 1] + "。", SO8T) == reason


def test_particles_that_words_only_look_like_are_no_word_salad():
    text = (
        "子どもをはじめ、友人とを、なにを頼むかをへて考えた。山と川とを、毎日眺めた。"
        "はじめに、がんばることをにぎやかに話し合った。はがきを書いて、足がはやい人を呼んだ。"
    )
    assert reject(text * 2 + prose(2, 2), SO8T) != "word_salad"

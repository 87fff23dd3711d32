import itertools
import random

import pytest

from so8t_core.cleanse import quality_measures as measures
from so8t_core.cleanse.ngrams import Ngrams
from so8t_core.cleanse.quality import PRESETS, Bound, reject
from so8t_core.cleanse.quality_sample import Sample
from so8t_core.cleanse.salad import surprise
from so8t_core.cleanse.text import is_mojibake
from so8t_core.cleanse.word_pattern import word_pattern
from tests.cleanse.bad_pages import KINDS, bad_pages
from tests.cleanse.samples import bad_texts, prose

SO8T = PRESETS["so8t"]

# preset, reason, the border as published, whether it is the least or the most, the step across it
BORDERS = [
    ("swallow", "too_short", 400, "least", 1),
    ("swallow", "repeated_paragraphs", 0.30, "most", 1e-9),
    ("swallow", "repeated_sentences", 0.30, "most", 1e-9),
    ("swallow", "repeated_paragraph_characters", 0.20, "most", 1e-9),
    ("swallow", "repeated_sentence_characters", 0.20, "most", 1e-9),
    ("swallow", "top_ngram_2", 0.20, "most", 1e-9),
    ("swallow", "top_ngram_3", 0.18, "most", 1e-9),
    ("swallow", "top_ngram_4", 0.16, "most", 1e-9),
    ("swallow", "repeated_ngrams_5", 0.15, "most", 1e-9),
    ("swallow", "repeated_ngrams_6", 0.14, "most", 1e-9),
    ("swallow", "repeated_ngrams_7", 0.13, "most", 1e-9),
    ("swallow", "repeated_ngrams_8", 0.12, "most", 1e-9),
    ("swallow", "repeated_ngrams_9", 0.11, "most", 1e-9),
    ("swallow", "repeated_ngrams_10", 0.10, "most", 1e-9),
    ("swallow", "few_hiragana", 0.20, "least", 1e-9),
    ("swallow", "much_katakana", 0.50, "most", 1e-9),
    ("swallow", "not_japanese", 0.50, "least", 1e-9),
    ("swallow", "few_japanese_letters", 400, "least", 1),
    ("swallow", "sentence_lengths", 20, "least", 1e-9),
    ("swallow", "sentence_lengths", 90, "most", 1e-9),
    ("swallow", "long_sentence", 200, "most", 1),
    ("swallow", "ellipsis_sentences", 0.20, "most", 1e-9),
    ("swallow", "ng_words", 0.05 - 1e-9, "most", 1e-9),  # 5 % itself goes
    ("fineweb2", "repeated_lines", 0.328, "most", 1e-9),
    ("fineweb2", "top_ngram_2", 0.239, "most", 1e-9),
    ("fineweb2", "top_ngram_3", 0.196, "most", 1e-9),
    ("fineweb2", "top_ngram_4", 0.172, "most", 1e-9),
    ("fineweb2", "repeated_ngrams_5", 0.243, "most", 1e-9),
    ("fineweb2", "repeated_ngrams_6", 0.225, "most", 1e-9),
    ("fineweb2", "repeated_ngrams_7", 0.207, "most", 1e-9),
    ("fineweb2", "repeated_ngrams_8", 0.19, "most", 1e-9),
    ("fineweb2", "repeated_ngrams_9", 0.175, "most", 1e-9),
    ("fineweb2", "repeated_ngrams_10", 0.159, "most", 1e-9),
    ("fineweb2", "no_line_ends", 0.096, "least", 1e-9),
    ("fineweb2", "repeated_line_characters", 0.1, "most", 1e-9),
    ("fineweb2", "many_line_breaks", 0.13, "most", 1e-9),
    ("fineweb2", "too_short", 50, "least", 1),
    ("fineweb2", "too_long", 100_000, "most", 1),
    ("fineweb2", "word_lengths", 1, "least", 1e-9),
    ("fineweb2", "word_lengths", 6, "most", 1e-9),
    ("fineweb2", "many_hashes", 0.1, "most", 1e-9),
    ("fineweb2", "many_ellipses", 0.1, "most", 1e-9),
    ("fineweb2", "bullet_lines", 0.9, "most", 1e-9),
    ("fineweb2", "ellipsis_lines", 0.3, "most", 1e-9),
    ("fineweb2", "few_letters", 0.759, "least", 1e-9),
    ("fineweb2", "few_stop_words", 2, "least", 1),
    ("llmjp", "not_japanese", 1, "least", 1),
    ("llmjp", "advertising", 10, "most", 1),
    ("llmjp", "ng_words", 3, "most", 1),
    ("llmjp", "long_sentences", 250, "most", 1e-9),
    ("llmjp", "compression", 0.30, "least", 1e-9),
    ("llmjp", "compression", 0.70, "most", 1e-9),
    ("llmjp_strict", "ng_words", 2, "most", 1),
    ("llmjp_strict", "long_sentences", 80, "most", 1e-9),
    ("llmjp_strict", "compression", 0.375, "least", 1e-9),
    ("so8t", "too_short", 200, "least", 1),
    ("so8t", "no_line_ends", 0.096, "least", 1e-9),
    ("so8t", "ellipsis_lines", 0.20, "most", 1e-9),
    ("so8t", "much_katakana", 0.50, "most", 1e-9),
    ("so8t", "repeated_lines", 0.30, "most", 1e-9),
    ("so8t", "repeated_line_characters", 0.20, "most", 1e-9),
    ("so8t", "top_ngram_2", 0.20, "most", 1e-9),
]


@pytest.mark.parametrize(
    ("preset", "reason", "border", "side", "step"),
    BORDERS,
    ids=lambda value: str(value),
)
def test_a_rule_keeps_its_border_and_drops_what_lies_beyond(preset, reason, border, side, step):
    (bound,) = [bound for bound in PRESETS[preset] if bound.reason == reason]
    beyond = border + step if side == "most" else border - step
    for value, stays in ((border, True), (beyond, False)):
        told = Bound(reason, lambda _, value=value: value, least=bound.least, most=bound.most)
        assert told.met(Sample("")) is stays


def test_every_rule_of_the_published_presets_has_its_border_in_the_table():
    table = {(preset, reason) for preset, reason, *_ in BORDERS}
    for preset in ("swallow", "fineweb2", "llmjp"):
        assert {(preset, bound.reason) for bound in PRESETS[preset]} <= table


# measure, text, what the published code makes of it (worked out by hand)
MEASURED = [
    (measures.repeated_paragraphs, "あ。\nあ。\nい。\nう。", 1 / 4),
    (measures.repeated_paragraph_characters, "ああ。\nああ。\nい。", 3 / 8),
    (measures.repeated_sentences, "あ。い。あ。", 1 / 3),
    (measures.repeated_sentence_characters, "あう。い。あう。", 3 / 8),
    (lambda s: measures.top_ngram(s, 2), "あいあいう", 2 / 4),
    (lambda s: measures.repeated_ngrams(s, 5), "あいうえおかあいうえお", 1 / 6),
    (measures.swallow_hiragana_share, "あい山ア。", 2 / 5),
    (measures.swallow_katakana_share, "あい山ア。", 1 / 5),
    (measures.swallow_japanese_share, "あい山ア。abcde", 5 / 10),
    (measures.mean_swallow_sentence, "あいう。えお。", 3.5),
    (measures.longest_swallow_sentence, "あいう。えお。", 4),
    (measures.ellipsis_sentences, "あ…\nい。\nう・\nえ。", 2 / 4),
    (measures.repeated_line_parts, "あ\n\nあ\nい", 1 / 3),
    (measures.ended_lines, "あ。\n い\n\nう！", 2 / 3),
    (measures.repeated_line_characters, "ああ\nああ\nい", 2 / 5),
    (measures.bullet_lines, "- あ\n• い\nう\nえ", 2 / 4),
    (measures.ellipsis_ends, "あ...\nい…\nう\nえ", 2 / 4),
    (measures.kana_at_start, "a" * 50 + "あ", 0),
    (measures.kana_at_start, "a" * 49 + "あ", 1),
    (measures.characters_a_full_stop, "あいう。え。", 3),
    (measures.characters_a_full_stop, "あいう", float("inf")),
    (lambda s: measures.covered_by_repeats(s, 3), "あいうえあいうえ", 4 / 8),
    (lambda s: measures.top_native_ngram(s, 2), "あいabcあい", 4 / 4),
]


@pytest.mark.parametrize(("measure", "text", "value"), MEASURED)
def test_a_measure_is_what_its_source_defines(measure, text, value):
    assert measure(Sample(text)) == pytest.approx(value)


def test_words_are_measured_as_gopher_and_fineweb_do():
    pytest.importorskip("sudachipy")
    text = "庭を歩く。庭を歩く。"
    words = ["庭", "を", "歩く", "。", "庭", "を", "歩く", "。"]
    sample = Sample(text)
    assert sample.words == words
    assert measures.real_words(sample) == 6
    assert measures.mean_word(sample) == pytest.approx(8 / 6)
    assert measures.words_with_letters(sample) == 6 / 8
    assert measures.top_word_ngram(sample, 2) == len("庭 を") * 2 / len(text)
    assert measures.repeated_word_ngrams(sample, 4) == len("庭を歩く。") / len(text)
    assert measures.stop_words(sample) == 1
    assert measures.line_breaks_a_word(Sample("庭。\n庭。")) == 1 / 4


def test_a_long_text_is_cut_for_the_analyser_without_losing_a_letter():
    pytest.importorskip("sudachipy")
    text = prose(4, 60)
    assert "".join(Sample(text).words) == text.replace("\n", "")


def test_ngrams_are_counted_as_a_dictionary_counts_them():
    random_ = random.Random(8)
    for size in (1, 2, 5, 10):
        text = "".join(random_.choices("あいう", k=400))
        grams = [text[place : place + size] for place in range(len(text) - size + 1)]
        expected = sorted(grams.count(gram) for gram in set(grams))
        assert sorted(Ngrams(text).counts(size).tolist()) == expected
        seen, covered = set(), set()
        for place, gram in enumerate(grams):
            if gram in seen:
                covered.update(range(place, place + size))
            seen.add(gram)
        assert Ngrams(text).covered(size) == len(covered)
    assert Ngrams("").counts(3).tolist() == []
    assert Ngrams("あ").covered(3) == 0


def test_a_pattern_of_words_finds_what_their_alternation_finds():
    words = ["あ", "あい", "あいう", "いう", "(a", "b.c"]
    pattern = word_pattern(words)
    for text in map("".join, itertools.product("あいう", repeat=4)):
        found = pattern.findall(text)
        assert bool(found) == any(word in text for word in words)
        assert set(found) <= set(words)
    assert pattern.findall("(a b.c bxc") == ["(a", "b.c"]
    assert word_pattern([]).search("あ") is None


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


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_bad_text_of_every_kind_is_dropped(kind):
    texts = [text for name, text in bad_pages(seed=5, each=8) if name == kind]
    dropped = [is_mojibake(text) or reject(text, SO8T) is not None for text in texts]
    assert all(dropped)


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
        ("word salad", "word_salad"),
    ],
)
def test_the_reason_is_the_true_one(kind, reason):
    assert reject(bad_texts()[kind], SO8T) == reason


@pytest.mark.parametrize(("characters", "reason"), [(199, "too_short"), (200, None)])
def test_the_shortest_text_has_exactly_the_published_length(characters, reason):
    assert reject("".join(prose(1).split())[: characters - 1] + "。", SO8T) == reason


def test_the_order_of_kana_tells_prose_from_its_own_words_in_another_order():
    salad = [text for kind, text in bad_pages(seed=6, each=6) if "salad" in kind]
    assert min(map(surprise, salad)) > 3.8
    assert max(surprise(prose(seed, 5)) for seed in range(20)) < 3.2
    assert surprise("") == surprise("山") == 0.0

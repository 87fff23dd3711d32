"""What rules of published corpora measure, each a pure function of a `Sample`.

Definitions follow the code that built the corpora: Swallow v1 (Okazaki et al. 2024), FineWeb-2 with
datatrove's filters (Penedo et al. 2025; Gopher: Rae et al. 2021, table A1), llm-jp corpus v1.
"""

from __future__ import annotations

import re
import zlib

from so8t_core.cleanse.lexicon import words_of
from so8t_core.cleanse.quality_sample import (
    PUNCTUATION,
    STOP_WORDS,
    TERMINAL,
    Sample,
    repeats,
    share,
)
from so8t_core.cleanse.salad import surprise
from so8t_core.cleanse.word_pattern import WordFinder

_SWALLOW_MARKS = re.compile("[、，。．！？]")
_SWALLOW_KANJI = re.compile("[々〇〻\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")
_HIRAGANA = re.compile("[\u3041-\u3096]")
_KATAKANA = re.compile("[\u30a1-\u30fa]")
_KANA = re.compile("[ぁ-んァ-ン]")
_LINE_END = re.compile("[。．！？!?…：:」』）)]$")
_ELLIPSIS_END = re.compile(r"(?:…|\.\.\.|・・・)$")
_SYMBOL = re.compile(r"[^\w\s|。、，．・「」『』（）()〔〕,.:：;/'\"-]")
_RARE_KANA = re.compile("[ぬぢづぴぷぺぽぞぅぇぉぁぃゎゐゑヰヱゔ]")
_ADVERTISING = re.compile(
    "今すぐ(?:クリック|登録|申し?込|購入|お電話|チェック)|無料(?:登録|会員|体験|プレゼント)|(?:初回|期間|数量)限定|"
    "限定(?:価格|特価|セール)|激安|最安値|送料無料|大特価|セール開催|副業|高収入|在宅ワーク|簡単に稼|誰でも稼|"
    "稼げる|月収[0-9０-９]+万|儲か|当選(?:おめでとう|しました)|絶対(?:儲|痩|当た)|必ず(?:儲|痩|当た)|"
    "出会い(?:系|サイト)|友だち追加|LINE登録|クーポン|ポイント(?:還元|[0-9]+倍)|お得な|キャンペーン(?:実施|開催)中|"
    "ご注文は(?:こちら|お早め)|クリックして(?:購入|登録)|返金保証|残りわずか|在庫限り|カジノ|ブランドコピー|"
    "通販|口コミ|ランキング|お買い得|お買い上げ|割引|[0-9０-９]+[%％](?:OFF|オフ|引き)|レビュー投稿|最大[0-9]+倍|"
    "資料請求|無料相談|今だけ|先着[0-9０-９]+名|こちらから購入|カートに入れる|即日発送|業界最[安大]"
)
_NG = WordFinder(words_of("adult", "discrimination"))
_NG_BY_LIST = {name: WordFinder(words_of(name)) for name in ("adult", "discrimination", "violence")}
_OVERLONG = 400  # characters of a sentence
_LEAST_ADVERTISEMENTS = 3


def characters(sample: Sample) -> float:
    """Characters without blanks."""
    return len(sample.solid)


def letters(sample: Sample) -> float:
    """Characters of the whole text, line breaks included (Swallow)."""
    return len(sample.text)


def swallow_japanese(sample: Sample) -> float:
    """Kana, ideographs and Japanese marks (Swallow's Japanese letters)."""
    text = sample.text
    return sum(
        len(pattern.findall(text))
        for pattern in (_HIRAGANA, _KATAKANA, _SWALLOW_KANJI, _SWALLOW_MARKS)
    )


def swallow_japanese_share(sample: Sample) -> float:
    """Japanese letters of all characters."""
    return share(swallow_japanese(sample), len(sample.text))


def swallow_hiragana_share(sample: Sample) -> float:
    """Hiragana of Japanese letters."""
    return share(len(_HIRAGANA.findall(sample.text)), swallow_japanese(sample))


def swallow_katakana_share(sample: Sample) -> float:
    """Katakana of Japanese letters."""
    return share(len(_KATAKANA.findall(sample.text)), swallow_japanese(sample))


def _swallow_sentences(sample: Sample) -> list[str]:
    return [sentence for line in sample.swallow_sentences for sentence in line]


def _swallow_paragraphs(sample: Sample) -> list[str]:
    return ["".join(line) for line in sample.swallow_sentences]


def repeated_paragraphs(sample: Sample) -> float:
    """Lines that have occurred before, of all lines."""
    parts = _swallow_paragraphs(sample)
    return share(repeats(parts)[0], len(parts))


def repeated_paragraph_characters(sample: Sample) -> float:
    """Their characters, of the characters of all lines."""
    parts = _swallow_paragraphs(sample)
    return share(repeats(parts)[1], sum(map(len, parts)))


def repeated_sentences(sample: Sample) -> float:
    """Sentences that have occurred before, of all sentences."""
    parts = _swallow_sentences(sample)
    return share(repeats(parts)[0], len(parts))


def repeated_sentence_characters(sample: Sample) -> float:
    """Their characters, of the characters of all sentences."""
    parts = _swallow_sentences(sample)
    return share(repeats(parts)[1], sum(map(len, parts)))


def top_ngram(sample: Sample, size: int) -> float:
    """The most frequent character n-gram's share of all n-grams (Swallow)."""
    counts = sample.ngrams.counts(size)
    return share(int(counts.max()), int(counts.sum())) if len(counts) else 0.0


def repeated_ngrams(sample: Sample, size: int) -> float:
    """Different character n-grams that occur more than once, of all different ones (Swallow)."""
    counts = sample.ngrams.counts(size)
    return share(int((counts > 1).sum()), len(counts))


def mean_swallow_sentence(sample: Sample) -> float:
    """Characters of a sentence on average."""
    parts = _swallow_sentences(sample)
    return share(sum(map(len, parts)), len(parts))


def longest_swallow_sentence(sample: Sample) -> float:
    """Characters of the longest sentence."""
    return max(map(len, _swallow_sentences(sample)), default=0)


def ellipsis_sentences(sample: Sample) -> float:
    """Sentences that end in ・ or …, of all sentences (Swallow)."""
    parts = _swallow_sentences(sample)
    return share(sum(part.strip().endswith(("・", "…")) for part in parts), len(parts))


def ng_characters(sample: Sample) -> float:
    """Characters of words of our lists for adult and discriminating text, of Japanese letters."""
    return share(_NG.characters(sample.text), swallow_japanese(sample))


def ng_words(sample: Sample) -> float:
    """Words found of the list of which most are found (adult, discrimination, violence)."""
    return max(finder.count(sample.text) for finder in _NG_BY_LIST.values())


def advertisements(sample: Sample) -> float:
    """Advertising phrases."""
    return len(_ADVERTISING.findall(sample.text))


def kana_at_start(sample: Sample) -> float:
    """Kana among the first 50 characters (llm-jp, HojiChar)."""
    return len(_KANA.findall(sample.text[:50]))


def characters_a_full_stop(sample: Sample) -> float:
    """Characters for each 。 (llm-jp, HojiChar); all of them where there is none."""
    stops = sample.text.count("。")
    return len(sample.text) / stops if stops else float("inf") if sample.text else 0.0


def best_compression(sample: Sample) -> float:
    """Size after deflate at level 9, of the size before (llm-jp)."""
    raw = sample.text.encode("utf-8", "surrogatepass")
    return share(len(zlib.compress(raw, 9)), len(raw))


def compression(sample: Sample) -> float:
    """Size after deflate at its usual level, of the size before."""
    raw = sample.text.encode("utf-8", "surrogatepass")
    return share(len(zlib.compress(raw)), len(raw))


# FineWeb-2: words and lines


def repeated_line_parts(sample: Sample) -> float:
    """Lines that have occurred before, of all lines (Gopher)."""
    return share(repeats(sample.line_parts)[0], len(sample.line_parts))


def top_word_ngram(sample: Sample, size: int) -> float:
    """Characters of the most frequent word n-gram, written with blanks, of the text (Gopher)."""
    letters, count = sample.word_ngrams.top(size)
    return share((letters + size - 1) * count, len(sample.text))


def repeated_word_ngrams(sample: Sample, size: int) -> float:
    """Characters of word n-grams that have occurred before, without overlap (Gopher)."""
    return share(sample.word_ngrams.repeated(size), len(sample.text))


def ended_lines(sample: Sample) -> float:
    """Lines that end like a sentence, of the lines with text (FineWeb)."""
    lines = sample.filled_lines
    return share(sum(line.endswith(TERMINAL) for line in lines), len(lines))


def repeated_line_characters(sample: Sample) -> float:
    """Characters of lines that have occurred before, of all but line breaks (FineWeb)."""
    return share(repeats(sample.filled_lines)[1], len(sample.text.replace("\n", "")))


def line_breaks_a_word(sample: Sample) -> float:
    """Line breaks for each word (FineWeb)."""
    return share(sample.text.count("\n"), len(sample.words))


def _real_words(sample: Sample) -> tuple[int, int]:
    """Words that are more than punctuation, and their characters."""
    counts = sample.word_counts.items()
    real = [(count, len(word)) for word, count in counts if not PUNCTUATION.issuperset(word)]
    return sum(count for count, _ in real), sum(count * length for count, length in real)


def real_words(sample: Sample) -> float:
    """Words that are more than punctuation (Gopher)."""
    return _real_words(sample)[0]


def mean_word(sample: Sample) -> float:
    """Characters of a word on average (Gopher)."""
    words, characters_of_words = _real_words(sample)
    return share(characters_of_words, words)


def hashes_a_word(sample: Sample) -> float:
    """Hash signs for each word (Gopher)."""
    return share(sample.text.count("#"), len(sample.words))


def ellipses_a_word(sample: Sample) -> float:
    """Ellipses for each word (Gopher)."""
    return share(sample.text.count("...") + sample.text.count("…"), len(sample.words))


def bullet_lines(sample: Sample) -> float:
    """Lines that begin with a bullet (Gopher)."""
    lines = sample.text.splitlines()
    return share(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines))


def ellipsis_ends(sample: Sample) -> float:
    """Lines that end in an ellipsis (Gopher)."""
    lines = sample.text.splitlines()
    return share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines))


def words_with_letters(sample: Sample) -> float:
    """Words with at least one letter (Gopher)."""
    counts = sample.word_counts.items()
    lettered = sum(count for word, count in counts if word.isalpha() or any(map(str.isalpha, word)))
    return share(lettered, len(sample.words))


def stop_words(sample: Sample) -> float:
    """Different ones of the 15 most frequent words (FineWeb-2 `jpn_Jpan`)."""
    return len(STOP_WORDS.intersection(sample.word_counts))


# so8t: for long technical prose


def japanese_share(sample: Sample) -> float:
    """Japanese letters of all letters."""
    return sample.scripts.share(sample.scripts.japanese)


def hiragana_share(sample: Sample) -> float:
    """Hiragana of all letters."""
    return sample.scripts.share(sample.scripts.hiragana)


def katakana_share(sample: Sample) -> float:
    """Katakana of all letters."""
    return sample.scripts.share(sample.scripts.katakana)


def kanji_share(sample: Sample) -> float:
    """Ideographs of all letters."""
    return sample.scripts.share(sample.scripts.kanji)


def rare_kana_share(sample: Sample) -> float:
    """Kana that prose hardly uses, of hiragana."""
    return share(len(_RARE_KANA.findall(sample.text)), sample.scripts.hiragana)


def digit_share(sample: Sample) -> float:
    """Digits of all characters."""
    return share(sample.scripts.digits, len(sample.solid))


def symbol_share(sample: Sample) -> float:
    """Symbols of all characters."""
    return share(len(_SYMBOL.findall(sample.text)), len(sample.solid))


def line_ends(sample: Sample) -> float:
    """Lines that end like a sentence or a quotation, of those with Japanese letters."""
    lines = sample.native_lines
    return share(sum(bool(_LINE_END.search(line)) for line in lines), len(lines))


def ellipsis_lines(sample: Sample) -> float:
    """Lines that are cut off."""
    return share(sum(bool(_ELLIPSIS_END.search(line)) for line in sample.lines), len(sample.lines))


def mean_sentence(sample: Sample) -> float:
    """Characters of a sentence on average, unfinished lines counted as sentences."""
    return share(sum(map(len, sample.sentences)), len(sample.sentences))


def overlong_sentences(sample: Sample) -> float:
    """Characters in sentences of more than 400, of all sentences."""
    lengths = list(map(len, sample.sentences))
    return share(sum(length for length in lengths if length > _OVERLONG), sum(lengths))


def repeated_lines(sample: Sample) -> float:
    """Lines that have occurred before, of those with Japanese letters."""
    return share(repeats(sample.native_lines)[0], len(sample.native_lines))


def repeated_characters(sample: Sample) -> float:
    """Characters of lines with Japanese letters that have occurred before, of all characters."""
    return share(repeats(sample.native_lines)[1], len(sample.text))


def top_native_ngram(sample: Sample, size: int) -> float:
    """Characters of the most frequent n-gram, of all that are neither blank nor ASCII."""
    counts = sample.native_ngrams.counts(size)
    return share(int(counts.max()) * size, len(sample.native)) if len(counts) else 0.0


def covered_by_repeats(sample: Sample, size: int) -> float:
    """Characters in n-grams that have occurred before, of all that are neither blank nor ASCII."""
    return share(sample.native_ngrams.covered(size), len(sample.native))


def advertising_density(sample: Sample) -> float:
    """Advertising phrases in 1,000 characters; 0 for fewer than three."""
    count = advertisements(sample)
    return share(count * 1000, len(sample.solid)) if count >= _LEAST_ADVERTISEMENTS else 0.0


def kana_surprise(sample: Sample) -> float:
    """How unlikely the order of kana is (see `salad.py`), in nats a trigram."""
    return surprise(sample.text)

"""Rules that tell prose from what only looks like it, each with the reason it gives.

The preset `so8t` starts from published thresholds (Swallow v1, FineWeb-2 `jpn_Jpan`, llm-jp v1)
and departs from them where they refuse long technical prose; each field names its origin.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from so8t_core.cleanse.language import Scripts, count_scripts
from so8t_core.contract.settings.cleanse import QualityPreset

_SENTENCE_END = re.compile(r"[。．！？!?]+[」』）)]?|[.:;](?=\s)|\n")
_LINE_END = re.compile("[。．！？!?…：:」』）)]$")
_ELLIPSIS_END = re.compile(r"(?:…|\.\.\.|・・・)$")
_SYMBOL = re.compile(r"[^\w\s。、，．・「」『』（）()〔〕,.:：;/'\"-]")
_RARE_KANA = re.compile("[ぬぢづぴぷぺぽぞぅぇぉぁぃゎゐゑヰヱゔ]")
_IMPOSSIBLE_PARTICLES = re.compile("[がはへを]を|[をはへ]。")
_STRANDED_PARTICLE = re.compile("(?:^|[。、\n])(?:を|[はへ](?=[一-鿿ァ-ヺ、。])|が(?=[ァ-ヺ。]))")
_ADVERTISING = re.compile(
    "今すぐ(?:クリック|登録|申し?込|購入|お電話|チェック)|無料(?:登録|会員|体験|プレゼント)|(?:初回|期間)限定|"
    "限定(?:価格|特価|セール)|激安|最安値|送料無料|大特価|セール開催|副業|高収入|在宅ワーク|簡単に稼|誰でも稼|"
    "稼げる|月収[0-9０-９]+万|儲か|当選(?:おめでとう|しました)|絶対(?:儲|痩|当た)|必ず(?:儲|痩|当た)|"
    "出会い(?:系|サイト)|友だち追加|LINE登録|クーポン|ポイント還元|お得な|キャンペーン(?:実施|開催)中|"
    "ご注文は(?:こちら|お早め)|クリックして(?:購入|登録)|返金保証|残りわずか|在庫限り|カジノ|ブランドコピー"
)


@dataclass(frozen=True)
class Preset:
    """Thresholds of one named rule set. Shares are of letters unless said otherwise."""

    min_characters: int
    max_characters: int
    min_japanese: float
    min_hiragana: float
    max_katakana: float
    min_kanji: float
    max_digits: float
    max_symbols: float
    max_mean_sentence: float
    max_long_sentence_share: float
    min_line_ends: float
    max_ellipsis_lines: float
    max_duplicate_lines: float
    max_duplicate_line_characters: float
    max_top_ngram: tuple[tuple[int, float], ...]
    max_duplicate_ngram: tuple[tuple[int, float], ...]
    min_compressed: float
    max_rare_kana: float
    max_broken_particles: float
    max_advertising: float


PRESETS: dict[QualityPreset, Preset] = {
    "so8t": Preset(
        min_characters=200,  # HojiChar; Swallow's 400 refuses short articles
        max_characters=500_000,
        min_japanese=0.20,  # Swallow 0.5; technical prose quotes commands and names
        min_hiragana=0.10,  # Swallow 0.2, for the same reason
        max_katakana=0.50,  # Swallow
        min_kanji=0.03,  # ours: noise made of kana has none
        max_digits=0.30,  # ours, of all characters: number tables
        max_symbols=0.15,  # ours, of all characters
        max_mean_sentence=150.0,  # between Swallow's 90 and llm-jp's 250 characters
        max_long_sentence_share=0.35,  # ours: sentences above 400 characters, by characters
        min_line_ends=0.096,  # FineWeb-2
        max_ellipsis_lines=0.20,  # Swallow
        max_duplicate_lines=0.30,  # Swallow
        max_duplicate_line_characters=0.20,  # Swallow
        max_top_ngram=((2, 0.20), (3, 0.18), (4, 0.16)),  # Swallow, characters
        max_duplicate_ngram=((10, 0.50),),  # Swallow 0.10; manuals repeat their phrases
        min_compressed=0.12,  # llm-jp 0.30; long manuals compress better
        max_rare_kana=0.08,  # ours, of hiragana: about 0.01 in prose, 0.2 in random kana
        max_broken_particles=0.15,  # ours, a sentence: word salad
        max_advertising=3.0,  # ours: advertising phrases in 1,000 characters
    )
}


class Sample:
    """A text and what the rules measure of it, each computed at most once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def scripts(self) -> Scripts:
        """Characters by script."""
        return count_scripts(self.text)

    @cached_property
    def lines(self) -> list[str]:
        """Lines that are not empty."""
        return [line for line in self.text.split("\n") if line]

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences and unfinished lines."""
        return [part for part in _SENTENCE_END.split(self.text) if part.strip()]

    @cached_property
    def solid(self) -> str:
        """The text without blanks: what character n-grams are taken from."""
        return "".join(self.text.split())


Rule = Callable[[Sample, Preset], bool]


def too_short(sample: Sample, preset: Preset) -> bool:
    """Fewer characters than make a text."""
    return len(sample.solid) < preset.min_characters


def too_long(sample: Sample, preset: Preset) -> bool:
    """More characters than a page of prose has."""
    return len(sample.solid) > preset.max_characters


def not_japanese(sample: Sample, preset: Preset) -> bool:
    """Too few Japanese letters."""
    return sample.scripts.share(sample.scripts.japanese) < preset.min_japanese


def few_hiragana(sample: Sample, preset: Preset) -> bool:
    """Names, links or Chinese: prose joins its words with hiragana."""
    return sample.scripts.share(sample.scripts.hiragana) < preset.min_hiragana


def much_katakana(sample: Sample, preset: Preset) -> bool:
    """Lists of products or noise."""
    return sample.scripts.share(sample.scripts.katakana) > preset.max_katakana


def few_kanji(sample: Sample, preset: Preset) -> bool:
    """Kana noise."""
    return sample.scripts.share(sample.scripts.kanji) < preset.min_kanji


def rare_kana(sample: Sample, preset: Preset) -> bool:
    """Kana that prose hardly uses are as common as the others: random kana."""
    hiragana = sample.scripts.hiragana
    return len(_RARE_KANA.findall(sample.text)) > preset.max_rare_kana * hiragana


def many_digits(sample: Sample, preset: Preset) -> bool:
    """Tables of numbers."""
    return sample.scripts.digits > preset.max_digits * len(sample.solid)


def many_symbols(sample: Sample, preset: Preset) -> bool:
    """Ornament, code or tables."""
    return len(_SYMBOL.findall(sample.text)) > preset.max_symbols * len(sample.solid)


def no_line_ends(sample: Sample, preset: Preset) -> bool:
    """Lists of links and navigation: hardly a line ends like a sentence."""
    ended = sum(1 for line in sample.lines if _LINE_END.search(line))
    return ended < preset.min_line_ends * len(sample.lines)


def ellipsis_lines(sample: Sample, preset: Preset) -> bool:
    """Teasers that are cut off."""
    cut = sum(1 for line in sample.lines if _ELLIPSIS_END.search(line))
    return cut > preset.max_ellipsis_lines * len(sample.lines)


def long_sentences(sample: Sample, preset: Preset) -> bool:
    """No sentences at all: runs of words."""
    lengths = [len(sentence) for sentence in sample.sentences]
    total = sum(lengths)
    overlong = sum(length for length in lengths if length > 400)
    return total > preset.max_mean_sentence * len(lengths) or (
        overlong > preset.max_long_sentence_share * total
    )


def repeated_lines(sample: Sample, preset: Preset) -> bool:
    """The same lines again and again, by number or by characters."""
    counts = Counter(sample.lines)
    again = sum(count - 1 for count in counts.values())
    characters = sum((count - 1) * len(line) for line, count in counts.items())
    return again > preset.max_duplicate_lines * len(
        sample.lines
    ) or characters > preset.max_duplicate_line_characters * len(sample.text)


def repeated_ngrams(sample: Sample, preset: Preset) -> bool:
    """One phrase makes up the text, or most phrases occur more than once (Gopher, table A1)."""
    solid = sample.solid
    for size, limit in preset.max_top_ngram:
        counts = Counter(solid[place : place + size] for place in range(len(solid) - size + 1))
        if counts and counts.most_common(1)[0][1] * size > limit * len(solid):
            return True
    return any(_duplicate_share(solid, size) > limit for size, limit in preset.max_duplicate_ngram)


def _duplicate_share(solid: str, size: int) -> float:
    """Share of the characters that lie in an n-gram which has occurred before."""
    seen: set[str] = set()
    covered = 0
    end = 0
    for place in range(len(solid) - size + 1):
        gram = solid[place : place + size]
        if gram in seen:
            covered += place + size - max(end, place)
            end = place + size
        seen.add(gram)
    return covered / len(solid) if solid else 0.0


def compressible(sample: Sample, preset: Preset) -> bool:
    """Repetition that no single rule sees."""
    raw = sample.text.encode()
    return len(zlib.compress(raw)) < preset.min_compressed * len(raw)


def word_salad(sample: Sample, preset: Preset) -> bool:
    """Particles where no sentence has them: words in random order."""
    broken = len(_IMPOSSIBLE_PARTICLES.findall(sample.text))
    broken += len(_STRANDED_PARTICLE.findall(sample.text))
    return broken > preset.max_broken_particles * len(sample.sentences)


def advertising(sample: Sample, preset: Preset) -> bool:
    """Advertising phrases, several and close together."""
    phrases = _ADVERTISING.findall(sample.text)
    return len(phrases) >= 3 and len(phrases) * 1000 > preset.max_advertising * len(sample.solid)


RULES: tuple[Rule, ...] = (
    too_short,
    too_long,
    not_japanese,
    few_hiragana,
    much_katakana,
    few_kanji,
    rare_kana,
    many_digits,
    many_symbols,
    no_line_ends,
    ellipsis_lines,
    long_sentences,
    advertising,
    repeated_lines,
    repeated_ngrams,
    compressible,
    word_salad,
)
"""In the order in which they are asked: the first that applies gives the reason."""


def reject(text: str, preset: Preset) -> str | None:
    """The reason for which the text is no good prose (the rule's name), or None."""
    sample = Sample(text)
    for rule in RULES:
        if rule(sample, preset):
            return rule.__name__
    return None

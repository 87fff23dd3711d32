"""Named sets of rules that tell prose from what only looks like it.

A rule is a measure with a least or a most; the first one that a text does not meet gives the reason
for its drop. `swallow`, `fineweb2` and `llmjp` decide as the corpora of these names were made;
`so8t`, the default, departs from them where they refuse long technical prose, and says why.

Differences from the published sets. swallow: the lists of words are our own; language, footers and
host lists are separate steps here. fineweb2: the language score needs a model that is not shipped,
so kana decide in its place. llmjp: lists of words and advertisements are our own, domains are not
asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from so8t_core.cleanse import quality_certain as certain
from so8t_core.cleanse import quality_measures as measures
from so8t_core.cleanse.quality_sample import Sample
from so8t_core.contract.settings.cleanse import QualityPreset

Measure = Callable[[Sample], float]

TOO_SHORT = "too_short"
"""The reason of a text that may still have good pairs."""


@dataclass(frozen=True)
class Bound:
    """A rule: texts whose measure is below `least` or above `most` go, for `reason`."""

    reason: str
    measure: Measure
    least: float = float("-inf")
    most: float = float("inf")
    surely: Callable[[Sample, float], bool] | None = None
    """Whether the measure keeps this limit (`most`, or `least` without one) for sure, told sooner
    than by measuring."""

    def met(self, sample: Sample) -> bool:
        """Whether the text stays; a value right on the border does."""
        limit = self.most if self.most < float("inf") else self.least
        if self.surely is not None and self.surely(sample, limit):
            return True
        return self.least <= self.measure(sample) <= self.most


Preset = tuple[Bound, ...]


def _of_size(measure: Callable[[Sample, int], float], size: int) -> Measure:
    return lambda sample: measure(sample, size)


def _sized(
    reason: str,
    measure: Callable[[Sample, int], float],
    limits: tuple[tuple[int, float], ...],
    surely: Callable[[int, Sample, float], bool] | None = None,
) -> Preset:
    """One rule for each size of n-gram."""
    return tuple(
        Bound(
            f"{reason}_{size}",
            _of_size(measure, size),
            most=limit,
            surely=None if surely is None else partial(surely, size),
        )
        for size, limit in limits
    )


SWALLOW: Preset = (
    Bound(TOO_SHORT, measures.letters, least=400),
    Bound("repeated_paragraphs", measures.repeated_paragraphs, most=0.30),
    Bound("repeated_sentences", measures.repeated_sentences, most=0.30),
    Bound("repeated_paragraph_characters", measures.repeated_paragraph_characters, most=0.20),
    Bound("repeated_sentence_characters", measures.repeated_sentence_characters, most=0.20),
    *_sized("top_ngram", measures.top_ngram, ((2, 0.20), (3, 0.18), (4, 0.16))),
    *_sized(
        "repeated_ngrams",
        measures.repeated_ngrams,
        ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
    ),
    Bound("few_hiragana", measures.swallow_hiragana_share, least=0.20),
    Bound("much_katakana", measures.swallow_katakana_share, most=0.50),
    Bound("not_japanese", measures.swallow_japanese_share, least=0.50),
    Bound("few_japanese_letters", measures.swallow_japanese, least=400),
    Bound("sentence_lengths", measures.mean_swallow_sentence, least=20, most=90),
    Bound("long_sentence", measures.longest_swallow_sentence, most=200),
    Bound("ellipsis_sentences", measures.ellipsis_sentences, most=0.20),
    Bound("ng_words", measures.ng_characters, most=0.05 - 1e-12),  # 5 % itself is refused
)

FINEWEB2: Preset = (  # rules on lines first, which need no words; the decision is the same
    Bound("repeated_lines", measures.repeated_line_parts, most=0.328),
    Bound("no_line_ends", measures.ended_lines, least=0.096),
    Bound("repeated_line_characters", measures.repeated_line_characters, most=0.10),
    Bound("bullet_lines", measures.bullet_lines, most=0.9),
    Bound("ellipsis_lines", measures.ellipsis_ends, most=0.3),
    Bound(
        "many_line_breaks", measures.line_breaks_a_word, most=0.13, surely=certain.few_line_breaks
    ),
    Bound(TOO_SHORT, measures.real_words, least=50, surely=certain.many_words),
    Bound("too_long", measures.real_words, most=100_000, surely=certain.few_characters),
    Bound("word_lengths", measures.mean_word, least=1, most=6, surely=certain.short_words),
    Bound("many_hashes", measures.hashes_a_word, most=0.1, surely=certain.few_hashes),
    Bound("many_ellipses", measures.ellipses_a_word, most=0.1, surely=certain.few_ellipses),
    Bound("few_letters", measures.words_with_letters, least=0.759, surely=certain.many_letters),
    Bound("few_stop_words", measures.stop_words, least=2, surely=certain.many_stop_words),
    *_sized(
        "top_ngram",
        measures.top_word_ngram,
        ((2, 0.239), (3, 0.196), (4, 0.172)),
        surely=certain.low_top_ngram,
    ),
    *_sized(
        "repeated_ngrams",
        measures.repeated_word_ngrams,
        ((5, 0.243), (6, 0.225), (7, 0.207), (8, 0.19), (9, 0.175), (10, 0.159)),
        surely=certain.few_repeated_ngrams,
    ),
)


def _llmjp(ng_words: int, mean_sentence: int, compression: float) -> Preset:
    return (
        Bound("not_japanese", measures.kana_at_start, least=1),
        Bound("advertising", measures.advertisements, most=10),
        Bound("ng_words", measures.ng_words, most=ng_words),
        Bound("long_sentences", measures.characters_a_full_stop, most=mean_sentence),
        Bound("compression", measures.best_compression, least=compression, most=0.70),
    )


SO8T: Preset = (
    Bound(TOO_SHORT, measures.characters, least=200),  # HojiChar; Swallow's 400 is too much
    Bound("too_long", measures.characters, most=500_000),
    Bound("not_japanese", measures.japanese_share, least=0.20),  # technical prose quotes commands
    Bound("few_hiragana", measures.hiragana_share, least=0.10),  # Swallow 0.2, for the same reason
    Bound("much_katakana", measures.katakana_share, most=0.50),  # Swallow
    Bound("few_kanji", measures.kanji_share, least=0.03),  # ours: noise made of kana has none
    Bound("rare_kana", measures.rare_kana_share, most=0.08),  # ours: 0.01 in prose, 0.2 in noise
    Bound("many_digits", measures.digit_share, most=0.30),  # ours: tables of numbers
    Bound("many_symbols", measures.symbol_share, most=0.15),  # ours: ornament, code
    Bound("no_line_ends", measures.line_ends, least=0.096),  # FineWeb-2
    Bound("ellipsis_lines", measures.ellipsis_lines, most=0.20),  # Swallow
    Bound("long_sentences", measures.mean_sentence, most=150),  # Swallow 90, llm-jp 250
    Bound("overlong_sentences", measures.overlong_sentences, most=0.35),  # ours: runs of words
    Bound("advertising", measures.advertising_density, most=3.0),  # ours, in 1,000 characters
    Bound("repeated_lines", measures.repeated_lines, most=0.30),  # Swallow
    Bound("repeated_line_characters", measures.repeated_characters, most=0.20),  # Swallow
    *_sized("top_ngram", measures.top_native_ngram, ((2, 0.20), (3, 0.18), (4, 0.16))),  # Swallow
    *_sized(
        "repeated_ngrams", measures.covered_by_repeats, ((10, 0.50),)
    ),  # manuals repeat phrases
    Bound("compressible", measures.compression, least=0.12),  # llm-jp 0.30; manuals compress better
    Bound("word_salad", measures.kana_surprise, most=3.8),  # ours: 1.5 to 2.7 in prose
)

PRESETS: dict[QualityPreset, Preset] = {
    "so8t": SO8T,
    "swallow": SWALLOW,
    "fineweb2": FINEWEB2,
    "llmjp": _llmjp(3, 250, 0.30),
    "llmjp_strict": _llmjp(2, 80, 0.375),
}


def reject(text: str, preset: Preset) -> str | None:
    """The reason for which the text is no good prose, or None."""
    sample = Sample(text)
    for bound in preset:
        if not bound.met(sample):
            return bound.reason
    return None

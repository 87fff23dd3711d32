"""Whether a text keeps a limit for sure, told from its first words and its letters.

Each function answers for the measure of `quality_measures.py` that its docstring names, and reads
no more words than it needs; where it says no, the measure decides. A share is rounded the same way
whatever its parts are, so that a bound on a part is one on the share.
"""

from __future__ import annotations

import math

from so8t_core.cleanse.quality_beginning import Beginning
from so8t_core.cleanse.quality_sample import STOP_WORDS, Sample, share


def _few_a_word(sample: Sample, count: int, most: float) -> bool:
    def certain(known: Beginning) -> bool:
        return known.words > 0 and share(count, known.words) <= most

    return sample.beginning.reaches(certain)


def few_line_breaks(sample: Sample, most: float) -> bool:
    """`line_breaks_a_word`: more words only lower it."""
    return _few_a_word(sample, sample.text.count("\n"), most)


def few_hashes(sample: Sample, most: float) -> bool:
    """`hashes_a_word`."""
    return _few_a_word(sample, sample.text.count("#"), most)


def few_ellipses(sample: Sample, most: float) -> bool:
    """`ellipses_a_word`."""
    return _few_a_word(sample, sample.text.count("...") + sample.text.count("…"), most)


def many_words(sample: Sample, least: float) -> bool:
    """`real_words`, from below."""
    return sample.beginning.reaches(lambda known: known.real_words >= least)


def few_characters(sample: Sample, most: float) -> bool:
    """`real_words`, from above: a word has a character."""
    return len(sample.text) <= most


def short_words(sample: Sample, most: float) -> bool:
    """`mean_word`, from above; that it is at least 1 needs one word alone."""

    def certain(known: Beginning) -> bool:
        characters = known.real_characters + known.left
        return known.real_words > 0 and share(characters, known.real_words) <= most

    return sample.beginning.reaches(certain)


def many_letters(sample: Sample, least: float) -> bool:
    """`words_with_letters`: at worst each other character that is left is a word of its own."""

    def certain(known: Beginning) -> bool:
        words = known.words + known.unlettered_left
        return words > 0 and share(known.lettered, words) >= least

    return sample.beginning.reaches(certain)


def many_stop_words(sample: Sample, least: float) -> bool:
    """`stop_words`."""
    return sample.beginning.reaches(lambda known: len(STOP_WORDS & known.different) >= least)


def low_top_ngram(size: int, sample: Sample, most: float) -> bool:
    """`top_word_ngram`: the first n-gram where none occurs again, else what letters allow."""
    if not sample.beginning.reaches(lambda known: known.words >= size):
        return False
    first = sample.beginning.characters_of(size) + size - 1
    within = sample.stretches.top_within(size, _whole(most * len(sample.text)))
    return within and share(first, len(sample.text)) <= most


def few_repeated_ngrams(size: int, sample: Sample, most: float) -> bool:
    """`repeated_word_ngrams`: at most what letters allow."""
    return sample.stretches.repeated_within(size, _whole(most * len(sample.text)))


def _whole(characters: float) -> int:
    """Characters that are certainly not above the limit."""
    return math.floor(characters - 1e-6)

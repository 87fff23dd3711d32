from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest

from so8t_core.evaluation.intervals import PairedBits, compare_bits, fewest_clusters, wilson


def made_items(shift: float, count: int = 20) -> list[PairedBits]:
    source = random.Random(5)
    return [
        PairedBits(f"g{n}", bits := source.uniform(80, 120), bits + source.gauss(shift, 2), 50)
        for n in range(count)
    ]


def compare(items: list[PairedBits]):
    return compare_bits(items, resamples=500, confidence=0.95, seed=1)


@pytest.mark.parametrize(("successes", "trials"), [(0, 4), (3, 10), (50, 50), (17, 120)])
def test_wilson_intervals_are_those_of_scipy(successes: int, trials: int):
    expected = binomtest(successes, trials).proportion_ci(0.95, "wilson")
    found = wilson(successes, trials, 0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one trial"):
        wilson(0, 0, 0.95)


def test_fewer_bits_are_better_and_more_are_worse():
    assert compare(made_items(-10)).verdict == "better"
    assert compare(made_items(+10)).verdict == "worse"


def test_equal_models_are_not_different():
    items = [PairedBits(f"g{n}", 100.0 + n, 100.0 + n, 50) for n in range(20)]
    found = compare(items)
    assert found.verdict == "no difference shown"
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)


def test_noise_alone_is_not_a_difference():
    assert compare(made_items(0)).verdict == "no difference shown"


def test_the_value_is_all_bits_over_all_bytes():
    items = [PairedBits("a", 10, 20, 10), PairedBits("b", 90, 30, 30)]
    found = compare(items)
    assert found.base.value == 100 / 40
    assert found.tuned.value == 50 / 40
    assert found.difference.value == -50 / 40


def test_items_of_one_group_count_as_one():
    together = [PairedBits("one page", 100 + n, 90 + n, 50) for n in range(20)]
    found = compare(together)
    assert found.clusters == 1
    assert found.verdict == "no difference shown"


def test_too_few_groups_never_show_a_difference():
    few = fewest_clusters(0.95)
    assert 2.0 ** (1 - few) <= 0.05 < 2.0 ** (2 - few)
    clear = made_items(-50, count=few)
    assert compare(clear).verdict == "better"
    assert compare(clear[1:]).verdict == "no difference shown"


def test_the_order_of_items_changes_nothing():
    items = made_items(-3)
    shuffled = random.Random(2).sample(items, len(items))
    assert compare(items) == compare(shuffled)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    source = random.Random(11)
    covered = 0
    for trial in range(100):
        items = [PairedBits(f"g{n}", 100.0, 100 + source.gauss(1, 5), 100) for n in range(40)]
        found = compare_bits(items, resamples=200, confidence=0.9, seed=trial)
        covered += found.difference.low <= 0.01 <= found.difference.high
    assert 80 <= covered <= 98

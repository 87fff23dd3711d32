from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest

from so8t_core.evaluation.intervals import Comparison, Pair, compare, fewest_clusters, wilson


def made_items(shift: float, count: int = 20) -> list[Pair]:
    source = random.Random(5)
    return [
        Pair(f"g{n}", bits := source.uniform(80, 120), bits + source.gauss(shift, 2), 50)
        for n in range(count)
    ]


def compared(items: list[Pair], *, lower_is_better: bool = True) -> Comparison:
    return compare(items, lower_is_better=lower_is_better, resamples=500, confidence=0.95, seed=1)


@pytest.mark.parametrize(("successes", "trials"), [(0, 4), (3, 10), (50, 50), (17, 120)])
def test_wilson_intervals_are_those_of_scipy(successes: int, trials: int):
    expected = binomtest(successes, trials).proportion_ci(0.95, "wilson")
    found = wilson(successes, trials, 0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one trial"):
        wilson(0, 0, 0.95)


def test_fewer_bits_are_better_and_more_are_worse():
    assert compared(made_items(-10)).verdict == "better"
    assert compared(made_items(+10)).verdict == "worse"


def test_equal_models_are_not_different():
    items = [Pair(f"g{n}", 100.0 + n, 100.0 + n, 50) for n in range(20)]
    found = compared(items)
    assert found.verdict == "no difference shown"
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)


def test_noise_alone_is_not_a_difference():
    assert compared(made_items(0)).verdict == "no difference shown"


def test_the_value_is_all_bits_over_all_bytes():
    items = [Pair("a", 10, 20, 10), Pair("b", 90, 30, 30)]
    found = compared(items)
    assert found.reference.value == 100 / 40
    assert found.candidate.value == 50 / 40
    assert found.difference.value == -50 / 40


def test_items_of_one_group_count_as_one():
    together = [Pair("one page", 100 + n, 90 + n, 50) for n in range(20)]
    found = compared(together)
    assert found.clusters == 1
    assert found.verdict == "no difference shown"


def test_too_few_groups_never_show_a_difference():
    few = fewest_clusters(0.95)
    assert 2.0 ** (1 - few) <= 0.05 < 2.0 ** (2 - few)
    clear = made_items(-50, count=few)
    assert compared(clear).verdict == "better"
    assert compared(clear[1:]).verdict == "no difference shown"


def test_the_order_of_items_changes_nothing():
    items = made_items(-3)
    shuffled = random.Random(2).sample(items, len(items))
    assert compared(items) == compared(shuffled)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    source = random.Random(11)
    covered = 0
    for trial in range(100):
        items = [Pair(f"g{n}", 100.0, 100 + source.gauss(1, 5), 100) for n in range(40)]
        found = compare(items, lower_is_better=True, resamples=200, confidence=0.9, seed=trial)
        covered += found.difference.low <= 0.01 <= found.difference.high
    assert 80 <= covered <= 98


def test_of_scores_more_is_better():
    items = [Pair(f"g{n}", 0.0, float(n % 3 > 0)) for n in range(30)]
    found = compared(items, lower_is_better=False)
    assert (found.reference.value, found.candidate.value) == (0.0, pytest.approx(2 / 3))
    assert found.verdict == "better"
    assert compared(items).verdict == "worse"


def test_what_rounding_does_is_no_difference():
    items = [Pair(f"g{n}", 1.0, 1.0 + 1e-7, 1.0) for n in range(20)]
    assert compared(items).difference.low > 0
    assert compared(items).verdict == "no difference shown"


def test_what_is_no_number_is_compared_with_nothing():
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cannot be compared"):
            compared([*made_items(0.1), Pair("bad", 1.0, bad, 1)])

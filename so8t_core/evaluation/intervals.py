"""Uncertainty: Wilson intervals for rates, paired bootstrap intervals for differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        """Value and interval, as reports show them."""
        return {"value": self.value, "interval": [self.low, self.high]}


@dataclass(frozen=True)
class PairedBits:
    """What both models needed for one cluster of related items: bits, and bytes of the text."""

    cluster: str
    base_bits: float
    tuned_bits: float
    size_bytes: int


@dataclass(frozen=True)
class BitsComparison:
    """Bits per byte of both models and their difference (tuned minus base: below 0 is better).

    `clusters` is how many independent groups of items there were.
    """

    base: Estimate
    tuned: Estimate
    difference: Estimate
    verdict: Verdict
    clusters: int


def wilson(successes: int, trials: int, confidence: float) -> Estimate:
    """A rate and its Wilson score interval (Wilson 1927). Raises ValueError without trials."""
    if trials < 1:
        raise ValueError("a rate needs at least one trial")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = (
        z
        / (1 + z * z / trials)
        * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    )
    return Estimate(rate, max(0.0, centre - half), min(1.0, centre + half))


def fewest_clusters(confidence: float) -> int:
    """Below this many clusters no two-sided sign test could reject at the level.

    When all n differences have one sign, its p-value is 2^(1 - n). A percentile bootstrap of so
    few would claim certainty that is not there.
    """
    return math.ceil(1 - math.log2(1 - confidence))


def compare_bits(
    items: Sequence[PairedBits], *, resamples: int, confidence: float, seed: int
) -> BitsComparison:
    """Paired percentile bootstrap over clusters (Efron and Tibshirani 1993, chapter 13).

    Items of one cluster are drawn together, because they are not independent. The result does
    not depend on the order of `items`. Raises ValueError without items.
    """
    if not items:
        raise ValueError("a comparison needs at least one item")
    base, tuned, sizes = _sum_clusters(items)
    count = len(sizes)
    generator = np.random.Generator(np.random.PCG64(seed))
    draws = np.empty((3, resamples))
    for index in range(resamples):
        chosen = generator.integers(0, count, count)
        size = sizes[chosen].sum()
        draws[0, index] = base[chosen].sum() / size
        draws[1, index] = tuned[chosen].sum() / size
    draws[2] = draws[1] - draws[0]
    tail = (1 - confidence) / 2
    lows, highs = np.quantile(draws, [tail, 1 - tail], axis=1)
    total = sizes.sum()
    values = [base.sum() / total, tuned.sum() / total, (tuned - base).sum() / total]
    estimates = [
        Estimate(float(value), float(low), float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    ]
    difference = estimates[2]
    verdict: Verdict = "no difference shown"
    if count >= fewest_clusters(confidence):
        if difference.high < 0:
            verdict = "better"
        elif difference.low > 0:
            verdict = "worse"
    return BitsComparison(estimates[0], estimates[1], difference, verdict, count)


def _sum_clusters(
    items: Sequence[PairedBits],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    sums: dict[str, npt.NDArray[np.float64]] = {}
    ordered = sorted(items, key=lambda i: (i.cluster, i.size_bytes, i.base_bits, i.tuned_bits))
    for item in ordered:
        row = np.array([item.base_bits, item.tuned_bits, item.size_bytes], dtype=np.float64)
        sums[item.cluster] = sums.get(item.cluster, np.zeros(3)) + row
    base, tuned, sizes = np.array(list(sums.values())).T
    return base, tuned, sizes

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

ROUNDING = 1e-5
"""Differences of bits per byte, or of scores, that float32 arithmetic alone can make."""


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
class Pair:
    """What two models got on one item, or on all of a size together.

    `size` is what sums are divided by: bytes where the values are bits, 1 where they are scores.
    Items of one cluster are not independent.
    """

    cluster: str
    reference: float
    candidate: float
    size: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """Both models' ratios and their difference, candidate minus reference.

    `clusters` is how many independent groups of items there were.
    """

    reference: Estimate
    candidate: Estimate
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


def compare(
    pairs: Sequence[Pair],
    *,
    lower_is_better: bool,
    resamples: int,
    confidence: float,
    seed: int,
) -> Comparison:
    """Paired percentile bootstrap over clusters (Efron and Tibshirani 1993, chapter 13).

    Items of one cluster are drawn together, because they are not independent. The result does
    not depend on the order of `pairs`. A difference within what rounding does is none. Raises
    ValueError without pairs, or for results that are no numbers.
    """
    if not pairs:
        raise ValueError("a comparison needs at least one item")
    reference, candidate, sizes = _sum_clusters(pairs)
    if not np.isfinite([reference, candidate]).all():
        raise ValueError("what is not a number cannot be compared")
    count = len(sizes)
    generator = np.random.Generator(np.random.PCG64(seed))
    draws = np.empty((3, resamples))
    for index in range(resamples):
        chosen = generator.integers(0, count, count)
        size = sizes[chosen].sum()
        draws[0, index] = reference[chosen].sum() / size
        draws[1, index] = candidate[chosen].sum() / size
    draws[2] = draws[1] - draws[0]
    tail = (1 - confidence) / 2
    lows, highs = np.quantile(draws, [tail, 1 - tail], axis=1)
    total = sizes.sum()
    sums = (reference.sum(), candidate.sum(), (candidate - reference).sum())
    estimates = [
        Estimate(float(value / total), float(low), float(high))
        for value, low, high in zip(sums, lows, highs, strict=True)
    ]
    difference = estimates[2]
    verdict: Verdict = "no difference shown"
    if count >= fewest_clusters(confidence) and abs(difference.value) > ROUNDING:
        if difference.high < 0:
            verdict = "better" if lower_is_better else "worse"
        elif difference.low > 0:
            verdict = "worse" if lower_is_better else "better"
    return Comparison(estimates[0], estimates[1], difference, verdict, count)


def _sum_clusters(
    pairs: Sequence[Pair],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for pair in sorted(pairs, key=lambda p: (p.cluster, p.size, p.reference, p.candidate)):
        row = np.array([pair.reference, pair.candidate, pair.size], dtype=np.float64)
        sums[pair.cluster] = sums.get(pair.cluster, np.zeros(3)) + row
    reference, candidate, sizes = np.array(list(sums.values())).T
    return reference, candidate, sizes

"""Weighing: values that are shares of unequally many cases are made comparable before rules compare them.

A share of n cases varies with the square root of 1/n. Laney's p'-chart ("Improved control charts for attributes",
Quality Engineering 14, 2002) therefore divides each value's distance from the mean by the deviation that a binomial
share of its n cases has, and estimates from these distances how much more than that the process varies. Here each
distance is multiplied by what it takes to have the deviation of a day of average size, which is the same, and leaves
values of equal n as they are. Details: docs/decisions/0035.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.domain.registry.models import MetricPoint

_SHARES = frozenset({
    "accuracy", "acc", "precision", "recall", "f1", "f2", "fbeta", "sensitivity", "specificity", "tpr", "tnr", "fpr",
    "fnr", "ppv", "npv", "rate", "share",
})  # fmt: skip
_WORDS = re.compile(r"[a-z]+[0-9]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Values as they would be on a day of average size: `factors` times their distances from the `centre`."""

    values: Sequence[float]
    centre: float
    factors: Sequence[float]


def is_share(metric: str) -> bool:
    """Whether a metric is a share of cases, by the words in its name."""
    return not _SHARES.isdisjoint(_WORDS.findall(metric.lower()))


def counts_of(metric: str, points: Sequence[MetricPoint]) -> list[int] | None:
    """The number of cases behind each point of a share; None if the metric is no share, or any number is not known."""
    counts = [point.n for point in points if point.n]
    if len(counts) < len(points) or not is_share(metric):
        return None
    is_inside = all(point.value is not None and 0 <= point.value <= 1 for point in points)
    return counts if is_inside else None


def weighed(values: Sequence[float], counts: Sequence[int], baseline: Collection[int]) -> Weighed:
    """The values, made comparable; `baseline` are the places of two or more values that the others are compared with.

    A baseline value's distance from the centre has the variance of 1/n - 1/N, another value's that of 1/n + 1/N, where
    N is the number of cases of the whole baseline.
    """
    total, size = sum(counts[place] for place in baseline), len(baseline)
    centre = math.fsum(counts[place] * values[place] for place in baseline) / total
    factors = []
    for place, n in enumerate(counts):
        sign = -1 if place in baseline else 1
        # A day of nearly all cases is nearly the centre itself.
        variance = max(1 / n + sign / total, 1 / (total * size))
        factors.append(math.sqrt((size + sign) / total / variance))
    moved = [centre + factor * (value - centre) for value, factor in zip(values, factors, strict=True)]
    return Weighed(moved, centre, factors)

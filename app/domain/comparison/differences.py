"""The difference of two series of values, with a confidence bound.

The bound is one-sided, of Student's t at 95 %: of the paired differences if the series share days, else Welch's
(Biometrika 34, 1947) with its degrees of freedom rounded down. When which, and why: docs/decisions/0019. Values of
unequally many cases are weighed as studies of unequal size are: by random effects (DerSimonian and Laird, Controlled
Clinical Trials 7, 1986), with the error that Knapp and Hartung estimate (Statistics in Medicine 22, 2003). For values
of equally many cases these are the plain mean and its error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.students_t import quantile
from app.domain.times import DAY_MS

PAIRED, TWO_SAMPLES, LAST_VALUES = "paired days", "two samples", "last values"
METHODS = (PAIRED, TWO_SAMPLES, LAST_VALUES)

_CONFIDENCE = 0.95
# Fewer shared days, or fewer points of either series, give no deviation.
_LEAST = 5
_MOST_POINTS = 30
_WEIGHED = ", weighed by their cases"
# Where all cases are alike, they say nothing of their variance, and only how many there are counts.
_LEAST_VARIANCE = 1e-12
# Rounding errors may put a whole number of degrees of freedom just below itself.
_ROUNDING = 1e-9

Values = Sequence[tuple[int, float]]
"""Finite values with their times in milliseconds, by time."""

Counts = tuple[Sequence[int], Sequence[int]]
"""The number of cases behind each value of either series; the values are then shares of these cases."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference `value` of the `second` series' mean, or last value, less the `first`; in the unit of the values.

    `error` is how far the 95 % bound lies from `value` on either side, None if there are too few values. `n` counts
    days, or points of the smaller sample. `largest` is the largest absolute value. `basis` says in words what was
    subtracted.
    """

    method: str
    n: int
    first: float
    second: float
    value: float
    error: float | None
    largest: float
    basis: str


def difference(first: Values, second: Values, counts: Counts | None = None) -> Difference:
    """How the second differs from the first; neither may be empty. Raises `OverflowError` if the values are too large.

    With five or more shared UTC days, the last values of those days are compared; else, if each series has five or more
    values, the last 30 of each; else the last value of each.
    """
    ns, ms = counts or (None, None)
    ours, theirs = _last_of_each_day(first), _last_of_each_day(second)
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) >= _LEAST:
        result = _paired(_on(shared, first, ns, ours), _on(shared, second, ms, theirs))
    elif len(first) >= _LEAST and len(second) >= _LEAST:
        result = _two_samples(_last(first, ns), _last(second, ms))
    else:
        result = _last_values(first, second)
    if not math.isfinite(result.value) or not math.isfinite(result.error or 0):
        raise OverflowError
    return result


def level(values: Values, counts: Sequence[int] | None = None) -> float | None:
    """The mean of the last 30 values, or the last value if there are fewer than five; None without any."""
    if not values:
        return None
    return _estimated(_last(values, counts)).mean if len(values) >= _LEAST else values[-1][1]


@dataclass(frozen=True, slots=True)
class _Sample:
    """Values, and the number of cases behind each; None where that is not known for all."""

    values: Sequence[float]
    counts: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A mean, its standard error, and the weights of the values; None where all weigh the same."""

    mean: float
    error: float
    weights: Sequence[float] | None


def _on(days: Sequence[int], values: Values, counts: Sequence[int] | None, place_of: Mapping[int, int]) -> _Sample:
    places = [place_of[day] for day in days]
    return _Sample([values[place][1] for place in places], counts and [counts[place] for place in places])


def _last(values: Values, counts: Sequence[int] | None) -> _Sample:
    return _Sample([value for _, value in values[-_MOST_POINTS:]], counts and counts[-_MOST_POINTS:])


def _last_of_each_day(values: Values) -> dict[int, int]:
    """The place of the last value of each UTC day."""
    return {time // DAY_MS: place for place, (time, _) in enumerate(values)}


def _last_values(first: Values, second: Values) -> Difference:
    a, b = first[-1][1], second[-1][1]
    basis = f"last values of {len(first)} and {len(second)} points, too few for an interval"
    return Difference(LAST_VALUES, 1, a, b, b - a, None, _largest([a, b]), basis)


def _paired(a: _Sample, b: _Sample) -> Difference:
    differences = [theirs - ours for ours, theirs in zip(a.values, b.values, strict=True)]
    n = len(differences)
    variances = None
    if a.counts and b.counts:
        spreads = _variance_of_a_case(a), _variance_of_a_case(b)
        variances = [spreads[0] / mine + spreads[1] / other for mine, other in zip(a.counts, b.counts, strict=True)]
    weighed = _weighed(differences, variances)
    error = quantile(_CONFIDENCE, n - 1) * weighed.error
    mean_a, mean_b = (_weighed_mean(sample.values, weighed.weights) for sample in (a, b))
    basis = f"means of {n} shared days{_WEIGHED if weighed.weights else ''}"
    return Difference(PAIRED, n, mean_a, mean_b, weighed.mean, error, _largest([*a.values, *b.values]), basis)


def _two_samples(a: _Sample, b: _Sample) -> Difference:
    ours, theirs = _estimated(a), _estimated(b)
    sizes = len(a.values), len(b.values)
    error = math.hypot(ours.error, theirs.error)
    if 0 < error < math.inf:
        degrees = _degrees_of_freedom(ours.error / error, sizes[0], theirs.error / error, sizes[1])
        error *= quantile(_CONFIDENCE, degrees)
    weighed = _WEIGHED if ours.weights or theirs.weights else ""
    basis = f"means of the last {sizes[0]} and {sizes[1]} points{weighed}"
    largest = _largest([*a.values, *b.values])
    gain = theirs.mean - ours.mean
    return Difference(TWO_SAMPLES, min(sizes), ours.mean, theirs.mean, gain, error, largest, basis)


def _estimated(sample: _Sample) -> _Estimate:
    """The mean of a sample of two or more values."""
    if sample.counts is None:
        return _weighed(sample.values, None)
    spread = _variance_of_a_case(sample)
    return _weighed(sample.values, [spread / n for n in sample.counts])


def _variance_of_a_case(sample: _Sample) -> float:
    """The variance of one case, whose share of all cases is the mean of the values weighed by their cases."""
    counts = sample.counts or ()
    share = math.fsum(n * value for n, value in zip(counts, sample.values, strict=True)) / sum(counts)
    return max(share * (1 - share), _LEAST_VARIANCE)


def _weighed(values: Sequence[float], variances: Sequence[float] | None) -> _Estimate:
    """The mean of values of which each has a variance of its own, beside one that they share; None: all the same."""
    if variances is None or len(set(variances)) == 1:
        mean, deviation = _mean_and_deviation(values)
        return _Estimate(mean, deviation / math.sqrt(len(values)), None)
    weights = [1 / variance for variance in variances]
    total = math.fsum(weights)
    excess = _spread(values, weights, _weighed_mean(values, weights)) - (len(values) - 1)
    shared = max(0.0, excess / (total - math.fsum(weight * weight for weight in weights) / total))
    weights = [1 / (variance + shared) for variance in variances]
    mean = _weighed_mean(values, weights)
    error = math.sqrt(_spread(values, weights, mean) / (len(values) - 1) / math.fsum(weights))
    return _Estimate(mean, error, weights)


def _weighed_mean(values: Sequence[float], weights: Sequence[float] | None) -> float:
    if weights is None:
        return _mean(values)
    return math.fsum(weight * value for weight, value in zip(weights, values, strict=True)) / math.fsum(weights)


def _spread(values: Sequence[float], weights: Sequence[float], mean: float) -> float:
    return math.fsum(weight * (value - mean) ** 2 for weight, value in zip(weights, values, strict=True))


def _degrees_of_freedom(share_a: float, n_a: int, share_b: float, n_b: int) -> int:
    """Welch's degrees of freedom. A share is a standard error over that of the difference; their squares add to 1."""
    return int(1 / (share_a**4 / (n_a - 1) + share_b**4 / (n_b - 1)) + _ROUNDING)


def _mean(values: Sequence[float]) -> float:
    # Divided first: the sum of large values would overflow where their mean does not.
    return math.fsum(value / len(values) for value in values)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    if not all(map(math.isfinite, values)):
        raise OverflowError
    mean = _mean(values)
    # hypot scales its arguments, so that squaring loses neither large nor small values.
    return mean, math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)


def _largest(values: Sequence[float]) -> float:
    return max(map(abs, values))

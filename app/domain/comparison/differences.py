"""The difference of two series of values, with a confidence bound.

The bound is one-sided, of Student's t at 95 %: of the paired differences if the series share days, else Welch's
(Biometrika 34, 1947) with its degrees of freedom rounded down. When which, and why: docs/decisions/0019.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.students_t import quantile
from app.domain.times import DAY_MS

PAIRED, TWO_SAMPLES, LAST_VALUES = "paired days", "two samples", "last values"
METHODS = (PAIRED, TWO_SAMPLES, LAST_VALUES)

_CONFIDENCE = 0.95
# Fewer shared days, or fewer points of either series, give no deviation.
_LEAST = 5
_MOST_POINTS = 30
# Rounding errors may put a whole number of degrees of freedom just below itself.
_ROUNDING = 1e-9

Values = Sequence[tuple[int, float]]
"""Finite values with their times in milliseconds, by time."""


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


def difference(first: Values, second: Values) -> Difference:
    """How the second differs from the first; neither may be empty. Raises `OverflowError` if the values are too large.

    With five or more shared UTC days, the last values of those days are compared; else, if each series has five or more
    values, the last 30 of each; else the last value of each.
    """
    ours, theirs = _last_of_each_day(first), _last_of_each_day(second)
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) >= _LEAST:
        result = _paired([ours[day] for day in shared], [theirs[day] for day in shared])
    elif len(first) >= _LEAST and len(second) >= _LEAST:
        result = _two_samples(*([value for _, value in values[-_MOST_POINTS:]] for values in (first, second)))
    else:
        result = _last_values(first, second)
    if not math.isfinite(result.value) or not math.isfinite(result.error or 0):
        raise OverflowError
    return result


def level(values: Values) -> float | None:
    """The mean of the last 30 values, or the last value if there are fewer than five; None without any."""
    if not values:
        return None
    return _mean([value for _, value in values[-_MOST_POINTS:]]) if len(values) >= _LEAST else values[-1][1]


def _last_of_each_day(values: Values) -> dict[int, float]:
    return {time // DAY_MS: value for time, value in values}


def _last_values(first: Values, second: Values) -> Difference:
    a, b = first[-1][1], second[-1][1]
    basis = f"last values of {len(first)} and {len(second)} points, too few for an interval"
    return Difference(LAST_VALUES, 1, a, b, b - a, None, _largest([a, b]), basis)


def _paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    differences = [theirs - ours for ours, theirs in zip(a, b, strict=True)]
    mean, std = _mean_and_deviation(differences)
    n = len(differences)
    error = quantile(_CONFIDENCE, n - 1) * std / math.sqrt(n)
    return Difference(PAIRED, n, _mean(a), _mean(b), mean, error, _largest([*a, *b]), f"means of {n} shared days")


def _two_samples(a: Sequence[float], b: Sequence[float]) -> Difference:
    (mean_a, std_a), (mean_b, std_b) = _mean_and_deviation(a), _mean_and_deviation(b)
    error_a, error_b = std_a / math.sqrt(len(a)), std_b / math.sqrt(len(b))
    error = math.hypot(error_a, error_b)
    if 0 < error < math.inf:
        error *= quantile(_CONFIDENCE, _degrees_of_freedom(error_a / error, len(a), error_b / error, len(b)))
    basis = f"means of the last {len(a)} and {len(b)} points"
    n = min(len(a), len(b))
    return Difference(TWO_SAMPLES, n, mean_a, mean_b, mean_b - mean_a, error, _largest([*a, *b]), basis)


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

"""Baselines: mean and standard deviation of a metric's first values, and which later values deviate from them.

Every function takes plain values, without times. Control limits are prediction limits for one further value (Hahn,
Meeker: Statistical Intervals, 4.8). The cumulative sum is Page's (Biometrika 1954); its reference value k and decision
interval h are widened, since mean and deviation are estimated from n points. Details: docs/decisions/0016.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.domain.monitoring.check_settings import DEFAULT_BASELINE, LEAST_BASELINE
from app.domain.monitoring.directions import HIGHER, LOWER
from app.domain.students_t import quantile

BELOW, ABOVE = "below", "above"
# With fewer points after the baseline no rule compares with it.
LEAST_LATER = 2

_K, _H = 0.5, 5.0
# The probability that a normal value is more than three standard deviations above the mean.
_TAIL = 0.00135
# At most one in so many values of a baseline is set aside as an outlier ...
_VALUES_PER_OUTLIER = 10
# ... if it is farther from the mean than so many control limits of the others. Fewer than 1 % of stable series lose a
# value this way. Since setting values aside may narrow the deviation, it is then widened by the same factor.
_OUTLIER = 1.4
# What ends a default baseline early. A stable series hardly ever reaches these, so that its values do not select its
# baseline.
_LEAVING_K, _LEAVING_H, _LEAVING_LIMIT = 1.0, 9.0, 6.0
# The cumulative sum is capped at so many h, so that it recovers soon after a drop is over.
_CAP = 1.5
# So many deviations to the better are suspicious: real gains are rarely that large, changes of unit are larger.
_FAR = 20.0
# A deviation below this share of the mean is floating-point noise of equal values.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class BaselineFigures:
    """Mean and standard deviation of n values; `set_aside` counts the outliers that were left out."""

    mean: float
    std: float
    n: int
    set_aside: int = 0

    @property
    def scale(self) -> float:
        """The deviation in which the distance of later values is measured; never 0."""
        return _scale(self.mean, self.std * (_OUTLIER if self.set_aside else 1))

    @property
    def reach(self) -> float:
        """How far from the mean one further value may be."""
        return widened(self.n)[0] * self.scale


def figures(values: Sequence[float]) -> BaselineFigures | None:
    """Mean and deviation of a baseline; None for fewer than ten values, or for values too large to be squared.

    Outliers are set aside: one odd day must not widen the limits so far that the next odd day passes.
    """
    return _figures_of(tuple(values)) if len(values) >= LEAST_BASELINE else None


# Kept, since who looks back judges by the same baseline many times.
@lru_cache(maxsize=1024)
def _figures_of(values: tuple[float, ...]) -> BaselineFigures | None:
    try:
        kept = _without_outliers(values)
        mean = math.fsum(kept) / len(kept)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in kept) / (len(kept) - 1))
    except OverflowError:
        return None
    # Equal values leave floating-point noise, which is no deviation.
    return BaselineFigures(mean, std if _is_deviation(mean, std) else 0.0, len(kept), len(values) - len(kept))


def _without_outliers(values: Sequence[float]) -> Sequence[float]:
    """The values without outliers, which are a tenth of them at most.

    A forward search: beginning near the median, each value is compared with all that are nearer, so that two outliers
    do not hide each other. Equal values give no measure of distance: nothing is set aside then.
    """
    centre = statistics.median(values)
    ordered = sorted(values, key=lambda value: abs(value - centre))
    sure = len(values) - len(values) // _VALUES_PER_OUTLIER
    mean = math.fsum(ordered[:sure]) / sure
    squares = math.fsum((value - mean) ** 2 for value in ordered[:sure])
    for place in range(sure, len(values)):
        std, off = math.sqrt(squares / (place - 1)), ordered[place] - mean
        if _is_deviation(mean, std) and abs(off) > _OUTLIER * widened(place)[0] * std:
            return ordered[:place]
        # Welford's update of the mean and the squares.
        mean += off / (place + 1)
        squares += off * (ordered[place] - mean)
    return values


def _is_deviation(mean: float, std: float) -> bool:
    return std > abs(mean) * _EQUAL


@lru_cache(maxsize=2048)
def widened(n: int) -> tuple[float, float, float]:
    """The control limit, k and h, in standard deviations, for a baseline of n points."""
    limit = quantile(1 - _TAIL, n - 1) * math.sqrt(1 + 1 / n)
    return limit, _K + 1.5 / math.sqrt(n), _H + 9 / math.sqrt(n) + 12 * (10 / n) ** 2


def first_points(values: Sequence[float], most: int = DEFAULT_BASELINE) -> int:
    """How many of the first values are the default baseline: `most`, or as many as stay like the first ten.

    The two newest values are never part of it. A change ends the baseline where it began, so that a drop just after
    the tenth point is detected and not learnt.
    """
    most = min(most, max(LEAST_BASELINE, len(values) - LEAST_LATER))
    base = figures(values[:LEAST_BASELINE])
    if base is None:
        return most
    mean, scale = base.mean, base.scale
    for side in (-1, 1):
        total, began = 0.0, LEAST_BASELINE
        for place in range(LEAST_BASELINE, most):
            z = side * (values[place] - mean) / scale
            total = max(0.0, total + z - _LEAVING_K)
            if not total:
                began = place + 1
            elif total > _LEAVING_H or z > _LEAVING_LIMIT:
                most = began
                break
    return most


def unlike_baseline(values: Sequence[float], base: BaselineFigures, better: str | None) -> list[str | None]:
    """For each later value the side on which it deviates from the baseline, or None.

    A value deviates if it is beyond the control limit, or if the cumulative sum is beyond h and the value adds to it.
    Where `better` is `higher` or `lower`, only the worse side counts; None counts both.
    """
    sides = {HIGHER: (BELOW,), LOWER: (ABOVE,), None: (BELOW, ABOVE)}[better]
    limit, k, h = widened(base.n)
    deviations: list[str | None] = [None] * len(values)
    for side in sides:
        for place, (z, total) in enumerate(_sums(values, base, side)):
            if z > limit or (total > h and z > k):
                deviations[place] = side
    return deviations


def change_point(values: Sequence[float], base: BaselineFigures, side: str, place: int) -> int:
    """The place of the first value that changed, where the value at `place` is the first that deviates to a side.

    A value beyond the control limit is that value itself. Where the cumulative sum deviates, it began to grow earlier:
    of the values since it was last 0, the most likely one by the mean of those from there on (Pignatiello, Samuel:
    Journal of Quality Technology 2001).
    """
    limit = widened(base.n)[0]
    steps = list(_sums(values[: place + 1], base, side))
    if steps[place][0] > limit:
        return place
    start = next((earlier + 1 for earlier in range(place - 1, -1, -1) if not steps[earlier][1]), 0)
    likely, most, total = place, 0.0, 0.0
    for earlier in range(place, start - 1, -1):
        total += min(steps[earlier][0], limit)
        likelihood = max(total, 0.0) ** 2 / (place - earlier + 1)
        if likelihood > most:
            likely, most = earlier, likelihood
    return likely


def _sums(values: Sequence[float], base: BaselineFigures, side: str) -> Iterator[tuple[float, float]]:
    """For each value its distance to a side of the mean, in deviations, and the cumulative sum up to it."""
    limit, k, h = widened(base.n)
    sign, scale, mean, cap, total = (-1 if side == BELOW else 1), base.scale, base.mean, _CAP * h, 0.0
    for value in values:
        z = sign * (value - mean) / scale
        # The control limit already catches a value far out; it must not make the good values after it count.
        total = total + (z if z < limit else limit) - k
        # Without the calls of min and max, since a round of checks comes here a million times.
        if total < 0:
            total = 0.0
        elif total > cap:
            total = cap
        yield z, total


def far_better(values: Sequence[float], base: BaselineFigures, better: str | None) -> list[bool]:
    """For each later value, whether it is so far on the better side that its unit may have changed.

    Where the baseline has no deviation, the distance is measured by the size of its mean.
    """
    far = _FAR * (base.std or abs(base.mean))
    sign = {HIGHER: 1, LOWER: -1, None: 0}[better]
    return [bool(far) and sign * (value - base.mean) > far for value in values]


def _scale(mean: float, std: float) -> float:
    return max(std, abs(mean) * _EQUAL, 5e-324 if mean else _EQUAL)

"""Baselines: mean and deviation of a metric's first values, and which later values are no longer like them.

Every function takes values alone. Control limits are prediction limits for one further value (Hahn,
Meeker: Statistical Intervals, 4.8); the cumulative sum is Page's (Biometrika 1954) with the reference value k and the
decision interval h widened for a mean and a deviation that are estimated from n points. How: docs/decisions/0016.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.domain.monitoring.check_settings import DEFAULT_BASELINE, LEAST_BASELINE
from app.domain.monitoring.directions import HIGHER, LOWER
from app.domain.students_t import quantile

BELOW, ABOVE = "below", "above"
# Points after the baseline, without which no rule compares with it.
LEAST_LATER = 2

_K, _H = 0.5, 5.0
# Of a value three standard deviations out, on one side.
_TAIL = 0.00135
# Of so many values of a baseline one may be set aside ...
_ONE_OF = 10
# ... where it is farther out than so many control limits of the others. Of a series that does not change this sets
# something aside in less than 1 %, and widens what is left by as much as it may have narrowed it.
_ODD = 1.4
# What ends a default baseline early: rare without a drop, so that hardly a baseline is chosen for its looks.
_LEAVING_K, _LEAVING_H, _LEAVING_LIMIT = 1.0, 9.0, 6.0
# A sum is not let grow further, so that it forgets a drop that is over.
_CAP = 1.5
# So many deviations better are no longer good news. Gains of that size are rare, changes of unit larger.
_FAR = 20.0
# Below this share of the mean a deviation is what floating point leaves of equal values.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class BaselineFigures:
    """Mean and standard deviation of n values; `set_aside` more were too far out to be among them."""

    mean: float
    std: float
    n: int
    set_aside: int = 0

    @property
    def scale(self) -> float:
        """The deviation that later values are measured by."""
        return _scale(self.mean, self.std * (_ODD if self.set_aside else 1))

    @property
    def reach(self) -> float:
        """How far from the mean one further value may be."""
        return widened(self.n)[0] * self.scale


def figures(values: Sequence[float]) -> BaselineFigures | None:
    """Mean and deviation of a baseline; None of fewer than ten values, or of values too large to be squared.

    Values far from all others are set aside: one odd day must not widen the band so far that the next one passes.
    """
    if len(values) < LEAST_BASELINE:
        return None
    try:
        kept = _without_odd(values)
        mean = math.fsum(kept) / len(kept)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in kept) / (len(kept) - 1))
    except OverflowError:
        return None
    # Of equal values floating point leaves a little, which is no deviation.
    return BaselineFigures(mean, std if _is_deviation(mean, std) else 0.0, len(kept), len(values) - len(kept))


def _without_odd(values: Sequence[float]) -> Sequence[float]:
    """The values without those that are far from all others, a tenth of them at most.

    A forward search: beginning with those nearest the median, each is held against all that are nearer. So two odd
    values do not hide each other. Equal values do not tell how far another one may be: nothing is set aside.
    """
    centre = statistics.median(values)
    ordered = sorted(values, key=lambda value: abs(value - centre))
    sure = len(values) - len(values) // _ONE_OF
    mean = math.fsum(ordered[:sure]) / sure
    squares = math.fsum((value - mean) ** 2 for value in ordered[:sure])
    for place in range(sure, len(values)):
        std, off = math.sqrt(squares / (place - 1)), ordered[place] - mean
        if _is_deviation(mean, std) and abs(off) > _ODD * widened(place)[0] * std:
            return ordered[:place]
        # Welford's way to take one more in.
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

    The newest two are always later ones. What leaves the first ten ends the baseline where it began to leave, so
    that a drop just after the tenth point is found and not learnt.
    """
    most = min(most, max(LEAST_BASELINE, len(values) - LEAST_LATER))
    base = figures(values[:LEAST_BASELINE])
    if base is None:
        return most
    for side in (-1, 1):
        total, began = 0.0, LEAST_BASELINE
        for place in range(LEAST_BASELINE, most):
            z = side * (values[place] - base.mean) / base.scale
            total = max(0.0, total + z - _LEAVING_K)
            if not total:
                began = place + 1
            elif total > _LEAVING_H or z > _LEAVING_LIMIT:
                most = began
                break
    return most


def unlike_baseline(values: Sequence[float], base: BaselineFigures, better: str | None) -> list[str | None]:
    """For each later value, on which side it is no longer like the baseline.

    That is when it is beyond the control limit, or when the cumulative sum is and the value adds to it. `better` is
    `higher` or `lower`, and looks at the worse side alone; None looks at both.
    """
    sides = {HIGHER: (BELOW,), LOWER: (ABOVE,), None: (BELOW, ABOVE)}[better]
    limit, k, h = widened(base.n)
    scale = base.scale
    found: list[str | None] = [None] * len(values)
    for side in sides:
        sign, total = (-1 if side == BELOW else 1), 0.0
        for place, value in enumerate(values):
            z = sign * (value - base.mean) / scale
            # One value far out is the control limit's affair: it must not make the next, good ones count.
            total = min(max(0.0, total + min(z, limit) - k), _CAP * h)
            if z > limit or (total > h and z > k):
                found[place] = side
    return found


def far_better(values: Sequence[float], base: BaselineFigures, better: str | None) -> list[bool]:
    """For each later value, whether it is so far on the better side that it may be of another unit.

    Of a baseline of equal values, which have no deviation, the size of the values is the measure.
    """
    far = _FAR * (base.std or abs(base.mean))
    sign = {HIGHER: 1, LOWER: -1, None: 0}[better]
    return [bool(far) and sign * (value - base.mean) > far for value in values]


def _scale(mean: float, std: float) -> float:
    return max(std, abs(mean) * _EQUAL, 5e-324 if mean else _EQUAL)

"""Quantiles of Student's t, so that the workers need no scipy.

From three degrees of freedom on Hill's Algorithm 396 (Communications of the ACM, 1970), which is exact to at least five
digits; one and two degrees of freedom have closed forms.
"""

import math
from statistics import NormalDist


def quantile(p: float, df: int) -> float:
    """The value that Student's t with `df` degrees of freedom stays below with probability `p`."""
    if df < 1 or not 0 < p < 1:
        raise ValueError(f"probability {p}, degrees of freedom {df}")
    if p < 0.5:  # noqa: PLR2004 - it is symmetric
        return -quantile(1 - p, df)
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:  # noqa: PLR2004 - the second closed form
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    return _hill(2 * (1 - p), df)


def _hill(two_tails: float, df: int) -> float:
    if two_tails >= 1:
        return 0.0
    a = 1 / (df - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * df
    y = (d * two_tails) ** (2 / df)
    if y > a + 0.05:
        x = NormalDist().inv_cdf(two_tails / 2)
        y = x * x
        if df < 5:  # noqa: PLR2004 - as the algorithm has it
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((df + 6) / (df * y) - 0.089 * d - 0.822) * (df + 2) * 3) + 0.5 / (df + 4)) * y - 1) * (df + 1) / (
            df + 2
        ) + 1 / y
    return math.sqrt(df * y)

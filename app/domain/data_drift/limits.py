"""Limits learnt from a model's own quiet windows: what a new window's distance may be, if it is quiet as well.

Days differ, so the counts of a quiet window differ from the reference's by more than chance, and the more so the more
rows there are. The statistic of a window is X² = mean + size · excess + noise. The mean excess of the quiet windows is
estimated; its deviation and skewness are those of a squared normal distance. Each statistic is standardised by that,
for its size: a cube root makes it nearly normal (Wilson and Hilferty 1931). The new window is held against a t
prediction limit of the standardised ones. Windows are never taken to vary less than chance alone makes them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from app.domain.data_drift.distances import Distance

Floats = NDArray[np.float64]
FEWEST_WINDOWS = 10
MOST_WINDOWS = 30
_FEWEST_COMPARABLE = 5
_TINY = 1e-9
_SKEWNESS_OF_DAYS = np.sqrt(8)
"""If the mean of a column varies normally, the square of its distance is a chi-square of one degree of freedom."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The probability that a quiet window is so far out, and of how many windows that was learnt.

    `p` is NaN where too little is known: fewer than ten quiet windows, or too few that are comparable in size.
    """

    p: Floats
    windows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the quiet windows before a window show. `known` says which they are, of all windows before it.

    `sizes` has the sizes of those that any row knows, and 0 where the row does not. The other arrays have an entry a
    row: how many there are, by how much days differ, and the mean and the deviation of the standardised statistics.
    """

    known: NDArray[np.bool_]
    sizes: Floats
    windows: NDArray[np.int64]
    excess: Floats
    centre: Floats
    deviation: Floats


def learnt(distance: Distance, window: int, is_quiet: NDArray[np.bool_], before: Learnt | None) -> Learnt:
    """What is known before a window, from what was known `before` an earlier one.

    The arrays have the shape (…, windows). Of the quiet windows the first 30 count, so that a slow change does not
    become what is usual.
    """
    known = is_quiet[..., :window] & (distance.size[..., :window] > 0)
    known &= np.cumsum(known, axis=-1) <= MOST_WINDOWS
    if before is not None:
        until = before.known.shape[-1]
        if not known[..., until:].any() and np.array_equal(known[..., :until], before.known):
            return before
    used = np.flatnonzero(known.any(axis=tuple(range(known.ndim - 1))))
    of_used, is_known = distance.of(used), known[..., used]
    many = is_known.sum(axis=-1)
    sizes = np.where(is_known, of_used.size, 0)
    beyond = np.where(is_known, of_used.statistic - of_used.mean, 0)
    excess = np.maximum(0, beyond.sum(axis=-1) / np.maximum(sizes.sum(axis=-1), _TINY))
    standard = _standardised(of_used, excess[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.where(is_known, standard, 0).sum(axis=-1) / many
        squares = np.where(is_known, (standard - centre[..., None]) ** 2, 0).sum(axis=-1)
        deviation = np.maximum(1, np.sqrt(squares / (many - 1)))
    return Learnt(known, sizes, many, excess, centre, deviation)


def predicted(distance: Distance, window: int, quiet: Learnt) -> Prediction:
    """Hold a window of each row against what the quiet windows before it show. The answer has an entry a row."""
    new = distance.of(np.array([window]))
    size, standard = new.size[..., 0], _standardised(new, quiet.excess[..., None])[..., 0]
    comparable = np.minimum(quiet.sizes > 0, quiet.sizes / np.maximum(size, _TINY)[..., None]).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = (quiet.centre - standard) / (quiet.deviation * np.sqrt(1 + 1 / comparable))
        p = stdtr(comparable - 1, away)
    is_known = (quiet.windows >= FEWEST_WINDOWS) & (comparable >= _FEWEST_COMPARABLE) & (size > 0)
    return Prediction(np.where(is_known, p, np.nan), quiet.windows)


def _standardised(distance: Distance, excess: Floats) -> Floats:
    """Cube roots in units of what the excess of a row's quiet windows leads to expect of windows of their sizes."""
    mean, variance, size = distance.mean, distance.variance, distance.size
    of_days = 2 * (excess * size) ** 2
    second = variance + 4 * excess * size + of_days
    third = 2 * variance**2 / mean + 24 * excess * size + 12 * of_days + of_days**1.5 * _SKEWNESS_OF_DAYS
    skewness = third / second**1.5
    away = (distance.statistic - mean - excess * size) / np.sqrt(second)
    return np.asarray(6 / skewness * (np.cbrt(1 + skewness / 2 * away) - 1) + skewness / 6)

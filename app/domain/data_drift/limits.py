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


def predicted(distance: Distance, window: int, is_quiet: NDArray[np.bool_]) -> Prediction:
    """Hold a window of each row against those windows before it that are quiet.

    The arrays have the shape (…, windows), the answer (…). Of the quiet windows the first 30 count, so that a slow
    change does not become what is usual.
    """
    known = is_quiet[..., :window] & (distance.size[..., :window] > 0)
    known &= np.cumsum(known, axis=-1) <= MOST_WINDOWS
    used = np.flatnonzero(known.any(axis=tuple(range(known.ndim - 1))))
    distance, known = distance.of(np.append(used, window)), known[..., used]
    many = known.sum(axis=-1)
    size = distance.size[..., -1]
    weights = np.where(known, np.minimum(1, distance.size[..., :-1] / np.maximum(size, _TINY)[..., None]), 0)
    comparable = weights.sum(axis=-1)
    standard = _standardised(distance, known)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.where(known, standard[..., :-1], 0).sum(axis=-1) / many
        squares = np.where(known, (standard[..., :-1] - centre[..., None]) ** 2, 0).sum(axis=-1)
        deviation = np.maximum(1, np.sqrt(squares / (many - 1)))
        p = stdtr(comparable - 1, (centre - standard[..., -1]) / (deviation * np.sqrt(1 + 1 / comparable)))
    is_known = (many >= FEWEST_WINDOWS) & (comparable >= _FEWEST_COMPARABLE) & (size > 0)
    return Prediction(np.where(is_known, p, np.nan), many)


def _standardised(distance: Distance, known: NDArray[np.bool_]) -> Floats:
    """Cube roots in units of what the quiet windows of the row lead to expect for a window of that size."""
    mean, variance, size = distance.mean, distance.variance, distance.size
    sizes = np.where(known, size[..., :-1], 0)
    beyond = np.where(known, distance.statistic[..., :-1] - mean[..., :-1], 0)
    excess = np.maximum(0, beyond.sum(axis=-1) / np.maximum(sizes.sum(axis=-1), _TINY))[..., None]
    of_days = 2 * (excess * size) ** 2
    second = variance + 4 * excess * size + of_days
    third = 2 * variance**2 / mean + 24 * excess * size + 12 * of_days + of_days**1.5 * _SKEWNESS_OF_DAYS
    skewness = third / second**1.5
    away = (distance.statistic - mean - excess * size) / np.sqrt(second)
    return np.asarray(6 / skewness * (np.cbrt(1 + skewness / 2 * away) - 1) + skewness / 6)

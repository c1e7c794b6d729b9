"""Distances: how far the counts of each window are from those of the reference, and how far chance alone takes them.

All windows of a column are computed at once. Arrays have an entry a window, on their last axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, gammaincc

from app.domain.data_drift.counts import ColumnCounts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FEWEST_ROWS = 30
_BROAD = 8
_ROWS_A_GROUP = 5
_RARE = 0.1
_BY_CHANCE = np.sqrt(2 / np.pi)


@dataclass(frozen=True, slots=True)
class Distance:
    """One aspect of a column in all windows, against the reference.

    `statistic` is the chi-square statistic of the window and the reference as two samples; `mean` and `variance` are
    its exact moments if both are draws of one distribution; `size` is the size that two samples have together,
    nm / (n + m), and 0 where one of them has fewer than 30 rows. `p` is the probability that chance alone takes the
    statistic so far; NaN where nothing can differ, as if neither has a missing value.
    """

    statistic: Floats
    mean: Floats
    variance: Floats
    size: Floats
    p: Floats

    def until(self, window: int) -> "Distance":
        """The same up to and with a window."""
        return Distance(*(getattr(self, field.name)[..., : window + 1] for field in fields(self)))


def stacked(distances: Sequence[Distance]) -> Distance:
    """Several distances as one, with an axis more in front."""
    return Distance(
        *(np.array([getattr(distance, field.name) for distance in distances]) for field in fields(Distance))
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """How the values that are there are distributed: over few groups of neighbouring cells, and over all cells."""

    broad: Distance
    narrow: Distance
    moved: Floats
    """The share of the mass that is elsewhere than in the reference (total variation), less what chance alone moves."""
    ratio: Floats
    """The greatest change of a cell's share, as a part of its share in the reference."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of rows with some property, such as a missing value: its distance, and by how much it changed."""

    distance: Distance
    change: Floats


def shape(reference: ColumnCounts, windows: Sequence[ColumnCounts]) -> Shape:
    """The distance of distributions. Up to eight cells are few: then the narrow one has no p of its own."""
    base = np.array(reference.cells, dtype=np.float64)
    counts = np.array([window.cells for window in windows], dtype=np.float64)
    middles = (np.cumsum(base) - base / 2) / max(base.sum(), 1)
    rows = counts.sum(axis=1)
    most = np.maximum(1, rows // _ROWS_A_GROUP)
    narrow = _chi_square(*_grouped(base, counts, middles, np.minimum(len(base), most)))
    moved, ratio = _moved(*_grouped(base, counts, middles, np.minimum(_BROAD, most))), _ratio(base, counts)
    if len(base) <= _BROAD:
        return Shape(narrow, replace(narrow, p=np.full(len(counts), np.nan)), moved, ratio)
    broad = _chi_square(*_grouped(base, counts, middles, np.minimum(_BROAD, most)))
    return Shape(broad, narrow, moved, ratio)


def share(reference: tuple[int, int], windows: Sequence[tuple[int, int]]) -> Share:
    """The distance of a share; each pair has the rows with the property and all rows."""
    base = np.array([[reference[0], reference[1] - reference[0]]] * len(windows), dtype=np.float64)
    counts = np.array([[some, rows - some] for some, rows in windows], dtype=np.float64)
    distance = _chi_square(base, counts)
    p = _p_of_share(base, counts)
    change = _shares(counts)[:, 0] - _shares(base)[:, 0]
    return Share(Distance(distance.statistic, distance.mean, distance.variance, distance.size, p), change)


def _grouped(base: Floats, counts: Floats, middles: Floats, groups: Floats) -> tuple[Floats, Floats]:
    """Neighbouring cells joined to groups of about equal mass in the reference: so many groups a window.

    As many groups as there are cells join none. Returns the counts of the reference and of the windows, a row a window.
    """
    joins = (groups < len(base))[:, None]
    of_groups = np.minimum((middles * groups[:, None]).astype(int), groups[:, None].astype(int) - 1)
    places = np.where(joins, of_groups, np.arange(len(base)))
    joined = np.zeros((2, *counts.shape))
    rows = np.arange(len(counts))[:, None]
    np.add.at(joined[0], (rows, places), np.broadcast_to(base, counts.shape))
    np.add.at(joined[1], (rows, places), counts)
    return joined[0], joined[1]


def _chi_square(base: Floats, counts: Floats) -> Distance:
    """The statistic of two samples and its moments given the sums of both (Lewis, Saunders and Westcott 1984)."""
    n, m = base.sum(axis=1), counts.sum(axis=1)
    both, everything = base + counts, n + m
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(both > 0, (base * np.sqrt(m / n)[:, None] - counts * np.sqrt(n / m)[:, None]) ** 2 / both, 0)
        statistic = parts.sum(axis=1)
        cells = (both > 0).sum(axis=1)
        mean = everything * (cells - 1) / (everything - 1)
        of_sizes = _terms(everything, 2, everything / n + everything / m)
        of_cells = _terms(everything, cells, np.where(both > 0, everything[:, None] / both, 0).sum(axis=1))
        variance = (
            2 * everything / (everything - 3) * (of_sizes[0] - of_sizes[1]) * (of_cells[0] - of_cells[1])
            + everything**2 / (everything - 1) * of_sizes[1] * of_cells[1]
        )
        p = gammaincc(mean**2 / variance, statistic * mean / variance)
    is_large = (n >= FEWEST_ROWS) & (m >= FEWEST_ROWS)
    can_differ = is_large & (cells > 1) & (variance > 0)
    return Distance(
        np.where(can_differ, statistic, 0),
        np.where(can_differ, mean, 1),
        np.where(can_differ, variance, 2),
        np.where(is_large, n * m / np.maximum(everything, 1), 0),
        np.where(can_differ, p, np.nan),
    )


def _terms(everything: Floats, groups: Integers | int, inverse_shares: Floats) -> tuple[Floats, Floats]:
    return (
        (groups - 1) * (everything - groups) / (everything - 1),
        (inverse_shares - groups**2) / (everything - 2),
    )


def _moved(base: Floats, counts: Floats) -> Floats:
    """Total variation without what is expected by chance, which adds up as squares do."""
    both = base + counts
    pooled = _shares(both)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.sqrt(pooled * (1 - pooled) * (1 / base.sum(axis=1) + 1 / counts.sum(axis=1))[:, None])
    seen = np.abs(_shares(counts) - _shares(base)).sum(axis=1) / 2
    by_chance = _BY_CHANCE * np.nan_to_num(noise).sum(axis=1) / 2
    return np.asarray(np.sqrt(np.maximum(0, seen**2 - by_chance**2)))


def _ratio(base: Floats, counts: Floats) -> Floats:
    shares = base / max(base.sum(), 1)
    changes = np.abs(_shares(counts) - shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(shares > 0, changes / shares, 0).max(axis=1))


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=1), 1)[:, None])


def _p_of_share(base: Floats, counts: Floats) -> Floats:
    """Twice the smaller tail: binomial where the property, or its absence, is rare, else the corrected chi-square."""
    n, m = base.sum(axis=1), counts.sum(axis=1)
    both, everything = base + counts, np.maximum(n + m, 1)
    rarer = np.argmin(both, axis=1)
    some = np.take_along_axis(counts, rarer[:, None], axis=1)[:, 0]
    total = np.take_along_axis(both, rarer[:, None], axis=1)[:, 0]
    part = m / everything
    tails = np.minimum(
        bdtr(some, total.astype(int), part), np.where(some > 0, bdtrc(some - 1, total.astype(int), part), 1)
    )
    away = np.maximum(0, np.abs(some - total * part) - 0.5)
    spread = total * part * (1 - part) * (1 - total / everything)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_normal = gammaincc(0.5, away**2 / spread / 2)
    p = np.where(total < _RARE * everything, 2 * tails, by_normal)
    can_differ = (n >= FEWEST_ROWS) & (m >= FEWEST_ROWS) & (total > 0)
    return np.asarray(np.where(can_differ, np.minimum(1, p), np.nan))

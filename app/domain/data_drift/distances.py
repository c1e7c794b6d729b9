"""Distances: how far the counts of each window are from those of the reference, and how far chance alone takes them.

All windows of a column are computed at once, and shares also of all columns. Arrays have an entry a window, on their
last axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, gammaincc

from app.domain.data_drift.bounds import FEWEST_ROWS
from app.domain.data_drift.counts import ColumnCounts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_BROAD = 8
_ROWS_A_GROUP = 5
_ROWS_A_CELL = 2
_FEWEST_OF_A_GROUP = 3
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

    def of(self, windows: Integers) -> "Distance":
        """The same of some of the windows."""
        return Distance(*(getattr(self, field.name)[..., windows] for field in fields(self)))

    def of_shape(self, shape: tuple[int, ...]) -> "Distance":
        """The same in arrays of another shape."""
        return Distance(*(getattr(self, field.name).reshape(shape) for field in fields(self)))


def stacked(distances: Sequence[Distance], axis: int = 0) -> Distance:
    """Several distances as one, with an axis more."""
    return Distance(
        *(np.stack([getattr(distance, field.name) for distance in distances], axis) for field in fields(Distance))
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """How the values that are there are distributed: over eight groups of neighbouring cells, and within the groups."""

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
    """The distance of distributions. Up to eight cells are groups themselves, so that nothing moves within them."""
    cells = np.array([window.cells for window in windows], dtype=np.float64)
    base = np.broadcast_to(np.array(reference.cells, dtype=np.float64), cells.shape)
    places, most = _places(base[0], cells.sum(axis=1)), min(_BROAD, cells.shape[1])
    groups = _summed(base, places, most), _summed(cells, places, most)
    narrow = _chi_square(base, cells, places, most)
    has_enough = cells.sum(axis=1) >= _ROWS_A_CELL * cells.shape[1]
    return Shape(
        _chi_square(*groups, np.zeros_like(places[:, :most]), 1),
        replace(narrow, p=np.where(has_enough, narrow.p, np.nan)),
        _moved(*groups),
        _ratio(base, cells),
    )


def share(references: Sequence[tuple[int, int]], windows: Sequence[Sequence[tuple[int, int]]]) -> Share:
    """The distances of a share in many columns; each pair has the rows with the property and all rows.

    There is a reference a column, and a window a column and window: the arrays have the shape (columns, windows).
    """
    counts = _with_the_others(windows)
    base = np.broadcast_to(_with_the_others(references)[:, None], counts.shape).reshape(-1, 2)
    columns_and_windows, counts = counts.shape[:2], counts.reshape(-1, 2)
    distance = _chi_square(base, counts, np.zeros(base.shape, dtype=np.int64), 1)
    distance = replace(distance, p=_p_of_share(base, counts))
    change = _shares(counts)[:, 0] - _shares(base)[:, 0]
    return Share(distance.of_shape(columns_and_windows), change.reshape(columns_and_windows))


def _with_the_others(pairs: Sequence[Any]) -> Floats:
    """From pairs of some rows and all rows: some rows, and the others."""
    some, rows = np.moveaxis(np.array(pairs, dtype=np.float64), -1, 0)
    return np.stack([some, rows - some], axis=-1)


def _places(base: Floats, rows: Floats) -> Integers:
    """Which group each cell is in, a row a window: neighbours, of about equal mass in the reference.

    Eight groups, and fewer in a window that has fewer than five rows a group.
    """
    groups = np.clip(rows // _ROWS_A_GROUP, 1, _BROAD).astype(np.int64)[:, None]
    middles = (np.cumsum(base) - base / 2) / max(base.sum(), 1)
    joined = np.minimum((middles * groups).astype(np.int64), groups - 1)
    return np.where(groups < len(base), joined, np.arange(len(base)))


def _summed(cells: Floats, places: Integers, groups: int) -> Floats:
    """The cells of each of so many groups together, at the place of the group."""
    flat = places + np.arange(len(cells))[:, None] * groups
    sums = np.bincount(flat.ravel(), cells.ravel(), len(cells) * groups)
    return np.asarray(sums, dtype=np.float64).reshape(-1, groups)


def _chi_square(base: Floats, counts: Floats, places: Integers, groups: int) -> Distance:
    """The statistic of two samples within each of so many groups, summed up.

    Its moments are exact given the sums of both samples and of both groups (Lewis, Saunders and Westcott 1984).
    """
    both, n, m = base + counts, _summed(base, places, groups), _summed(counts, places, groups)
    everything, cells = n + m, _summed((both > 0).astype(np.float64), places, groups)
    can_differ = (n > 0) & (m > 0) & (everything > _FEWEST_OF_A_GROUP) & (cells > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.take_along_axis(np.sqrt(np.where(can_differ, m / n, np.nan)), places, axis=1)
        statistic = np.nansum((base * roots - counts / roots) ** 2 / both, axis=1)
        inverse_shares = np.take_along_axis(everything, places, axis=1) / both
        of_cells = _terms(everything, cells, _summed(np.where(both > 0, inverse_shares, 0), places, groups))
        of_sizes = _terms(everything, 2, everything / n + everything / m)
        variances = (
            2 * everything / (everything - 3) * (of_sizes[0] - of_sizes[1]) * (of_cells[0] - of_cells[1])
            + everything**2 / (everything - 1) * of_sizes[1] * of_cells[1]
        )
        mean = np.where(can_differ, everything * (cells - 1) / (everything - 1), 0).sum(axis=1)
        variance = np.where(can_differ, variances, 0).sum(axis=1)
        p = gammaincc(mean**2 / variance, statistic * mean / variance)
    n, m = base.sum(axis=1), counts.sum(axis=1)
    is_large = (n >= FEWEST_ROWS) & (m >= FEWEST_ROWS)
    is_defined = is_large & (variance > 0)
    return Distance(
        np.where(is_defined, statistic, 0),
        np.where(is_defined, mean, 1),
        np.where(is_defined, variance, 2),
        np.where(is_large, n * m / np.maximum(n + m, 1), 0),
        np.where(is_defined, p, np.nan),
    )


def _terms(everything: Floats, groups: Floats | int, inverse_shares: Floats) -> tuple[Floats, Floats]:
    return (
        (groups - 1) * (everything - groups) / (everything - 1),
        (inverse_shares - groups**2) / (everything - 2),
    )


def _moved(base: Floats, counts: Floats) -> Floats:
    """Total variation without what is expected by chance, which adds up as squares do; 0 where one side has no rows."""
    n, m = base.sum(axis=1), counts.sum(axis=1)
    pooled = _shares(base + counts)
    noise = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))[:, None])
    seen = np.abs(_shares(counts) - _shares(base)).sum(axis=1) / 2
    by_chance = _BY_CHANCE * noise.sum(axis=1) / 2
    return np.asarray(np.where((n > 0) & (m > 0), np.sqrt(np.maximum(0, seen**2 - by_chance**2)), 0))


def _ratio(base: Floats, counts: Floats) -> Floats:
    shares = _shares(base)
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

"""Making bins from a reference's values, and counting numbers in them."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.bins import LONGEST_CATEGORY, Categories, NumericBins
from app.domain.data_drift.bounds import FEWEST_OF_A_CATEGORY
from app.domain.errors import InvalidInput

Floats = NDArray[np.float64]
QUANTILE_BINS = 64
NAMED_CATEGORIES = 50
KNOWN_CATEGORIES = 1000
FEWEST_OF_A_CELL = 20
_OUTERMOST = 0.001
_IDENTIFIER = 0.9
_FEWEST_FOR_AN_IDENTIFIER = 100


def counted(bins: NumericBins, values: Floats) -> tuple[int, ...]:
    """How many of the values, none of which is NaN, each cell has."""
    places = np.searchsorted(np.array(bins.edges), values, side="right")
    return tuple(np.bincount(places, minlength=bins.cells).tolist())


def numeric_bins(values: Floats) -> NumericBins:
    """The bins of a reference's values, none of which is NaN.

    64 bins of equal mass, cells for values that have as much mass by themselves, and cells beyond the quantiles of
    0.1 % and 99.9 %. An edge is a value of the reference, and so somebody's data: one that is a quantile has at least
    20 rows between itself and the next edge or the end, and a value has a cell of its own if it is seen 20 times.
    """
    if not len(values):
        return NumericBins(())
    distinct, many = np.unique(values, return_counts=True)
    is_frequent = (many * QUANTILE_BINS >= len(values)) & (many >= FEWEST_OF_A_CELL)
    frequent = distinct[is_frequent].tolist()
    rest = np.repeat(distinct[~is_frequent], many[~is_frequent])
    quantiles = _quantiles(rest, min(round(QUANTILE_BINS * len(rest) / len(values)), len(rest) // FEWEST_OF_A_CELL))
    if len(values) > 2 * FEWEST_OF_A_CELL:
        share = max(_OUTERMOST, FEWEST_OF_A_CELL / (len(values) - 1))
        quantiles.append(float(np.quantile(values, share, method="higher")))
        quantiles.append(float(np.quantile(values, 1 - share, method="lower")))
    edges = sorted({edge for value in frequent for edge in (value, math.nextafter(value, math.inf))})
    below = np.concatenate([[0], np.cumsum(many)])
    places = [0, *_places(distinct, below, edges), len(values)]
    for edge, place in zip(quantiles, _places(distinct, below, quantiles), strict=True):
        at = bisect_left(places, place)
        if places[at] - place >= FEWEST_OF_A_CELL and place - places[at - 1] >= FEWEST_OF_A_CELL:
            places.insert(at, place)
            edges.append(edge)
    return NumericBins(tuple(sorted(edge for edge in edges if np.isfinite(edge))))


def _quantiles(values: Floats, bins: int) -> list[float]:
    """The edges of bins of equal mass, without the ends."""
    if bins <= 1:
        return []
    edges: list[float] = np.quantile(values, np.arange(1, bins) / bins, method="higher").tolist()
    return edges


def _places(distinct: Floats, below: NDArray[np.int64], edges: list[float]) -> list[int]:
    """How many values are less than each edge, where `below` says it of each distinct value."""
    places: list[int] = below[np.searchsorted(distinct, edges)].tolist()
    return places


def categories(column: str, values: Iterable[str]) -> Categories:
    """The categories of a reference's values, the most frequent first.

    A category seen fewer than 20 times is not named anywhere. InvalidInput for a column of identifiers.
    """
    many = Counter(values)
    if many.total() >= _FEWEST_FOR_AN_IDENTIFIER and len(many) > _IDENTIFIER * many.total():
        raise InvalidInput(
            f"Column '{column}' looks like an identifier: {len(many)} different texts in {many.total()} rows. "
            "Leave it out, or say that it is to be ignored."
        )
    known = [name for name, n in many.items() if n >= FEWEST_OF_A_CATEGORY and len(name) <= LONGEST_CATEGORY]
    known.sort(key=lambda name: (-many[name], name))
    return Categories(tuple(known[:NAMED_CATEGORIES]), tuple(sorted(known[NAMED_CATEGORIES:KNOWN_CATEGORIES])))

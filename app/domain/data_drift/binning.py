"""Making bins from a reference's values, and counting numbers in them."""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.bins import LONGEST_CATEGORY, Categories, NumericBins
from app.domain.errors import InvalidInput

Floats = NDArray[np.float64]
QUANTILE_BINS = 64
NAMED_CATEGORIES = 50
KNOWN_CATEGORIES = 1000
FEWEST_OF_A_CATEGORY = 20
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
    0.1 % and 99.9 %: the least and the greatest value are somebody's data.
    """
    if not len(values):
        return NumericBins(())
    distinct, many = np.unique(values, return_counts=True)
    is_frequent = many * QUANTILE_BINS >= len(values)
    frequent = distinct[is_frequent]
    edges = {edge for value in frequent.tolist() for edge in (value, math.nextafter(value, math.inf))}
    rest = np.repeat(distinct[~is_frequent], many[~is_frequent])
    if len(rest):
        bins = max(1, round(QUANTILE_BINS * len(rest) / len(values)))
        shares = np.arange(1, bins) / bins
        edges.update(np.quantile(rest, shares, method="higher").tolist())
    edges.add(float(np.quantile(values, _OUTERMOST, method="higher")))
    edges.add(float(np.quantile(values, 1 - _OUTERMOST, method="lower")))
    return NumericBins(tuple(sorted(edge for edge in edges if np.isfinite(edge))))


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

"""Bins: how the values of a column are counted, made once from a reference and then the same for every window.

A number's bin depends on fixed edges alone, so counts of one window add up over requests, hosts and formats.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.errors import InvalidInput

Floats = NDArray[np.float64]
QUANTILE_BINS = 64
NAMED_CATEGORIES = 50
KNOWN_CATEGORIES = 1000
FEWEST_OF_A_CATEGORY = 20
LONGEST_CATEGORY = 200
"""Characters of a category; longer values are text that somebody wrote, and are counted without a name."""
_OUTERMOST = 0.001
_IDENTIFIER = 0.9
_FEWEST_FOR_AN_IDENTIFIER = 100


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Bins of a numeric column: cell i has the values from `edges[i - 1]` up to, and without, `edges[i]`.

    The first and the last cell are open. A frequent value has a cell of its own: from it up to the next float.
    """

    edges: tuple[float, ...]

    @property
    def cells(self) -> int:
        """How many cells the values are counted in, without those that are missing."""
        return len(self.edges) + 1

    def counted(self, values: Floats) -> tuple[int, ...]:
        """How many of the values, none of which is NaN, each cell has."""
        places = np.searchsorted(np.array(self.edges), values, side="right")
        return tuple(np.bincount(places, minlength=self.cells).tolist())

    def label(self, first: int, last: int) -> str:
        """Neighbouring cells in words, as "24 to 36"; a frequent value's as the value."""
        if first == 0 and last == len(self.edges):
            return "any value"
        if first == 0:
            return f"below {self.edges[last]:.4g}"
        low = self.edges[first - 1]
        if last == len(self.edges):
            return f"{low:.4g} or more"
        high = self.edges[last]
        return f"{low:.6g}" if high == math.nextafter(low, math.inf) else f"{low:.4g} to {high:.4g}"


@dataclass(frozen=True, slots=True)
class Categories:
    """The categories of a column: each of `names` has a cell; `others` share the last one. Others are not known."""

    names: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """How many cells the values are counted in, without those that are missing or unknown."""
        return len(self.names) + bool(self.others)

    def counted(self, values: Iterable[str]) -> tuple[tuple[int, ...], int]:
        """How many of the values each cell has; how many are in no cell, as they are rare or new."""
        many = Counter(values)
        named = [many.pop(name, 0) for name in self.names]
        if self.others:
            named.append(sum(many.pop(name, 0) for name in self.others))
        return tuple(named), many.total()

    def label(self, cell: int) -> str:
        """A cell in words: its category, or what the last cell gathers."""
        return f"'{self.names[cell]}'" if cell < len(self.names) else "less frequent categories"


Bins = NumericBins | Categories


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
    edges.update(np.quantile(values, [_OUTERMOST, 1 - _OUTERMOST], method="higher").tolist())
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

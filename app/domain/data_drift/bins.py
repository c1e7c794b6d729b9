"""Bins: how the values of a column are counted, the same for every window.

A number's bin depends on fixed edges alone, so counts of one window add up over requests, hosts and formats.
`binning.py` makes them from a reference.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_CATEGORY = 200
"""Characters of a category; longer values are text that somebody wrote, and are counted without a name."""
NUMERIC, CATEGORICAL = "numeric", "categorical"


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

    def label(self, first: int, last: int) -> str:
        """Neighbouring cells in words, as "24 to 36"; a frequent value's as the value."""
        if first == 0 and last == len(self.edges):
            return "any value"
        if first == 0:
            value = self._frequent_before(last)
            return f"below {self.edges[last]:.4g}" if value is None else f"{value:.4g} or less"
        low, value = self.edges[first - 1], self._frequent_before(first - 1)
        if last == len(self.edges):
            return f"{low:.4g} or more" if value is None else f"above {value:.4g}"
        high, top = self.edges[last], self._frequent_before(last)
        if high == math.nextafter(low, math.inf):
            return f"{low:.6g}"
        return f"{low if value is None else value:.4g} to {high if top is None else top:.4g}"

    def _frequent_before(self, place: int) -> float | None:
        """The frequent value whose cell ends at an edge: the edge is the next float, which nobody would know."""
        before = self.edges[place - 1] if place else None
        return before if before is not None and self.edges[place] == math.nextafter(before, math.inf) else None


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

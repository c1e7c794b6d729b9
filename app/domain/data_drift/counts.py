"""Counts: all that is kept of a window's rows. They add up, whatever the order, the requests and the hosts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import add

from app.domain.data_drift.bins import Bins
from app.domain.data_drift.plural import many
from app.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ColumnCounts:
    """A column's values in a window: a count a cell of its bins, those that are missing, and categories unknown."""

    cells: tuple[int, ...]
    missing: int = 0
    unknown: int = 0

    @property
    def present(self) -> int:
        """Rows that have a value."""
        return sum(self.cells) + self.unknown

    @property
    def is_empty(self) -> bool:
        """Whether no row has a value."""
        return not self.unknown and not any(self.cells)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.present + self.missing

    def __add__(self, other: "ColumnCounts") -> "ColumnCounts":
        if len(self.cells) != len(other.cells):
            raise ValueError("the counts are by other bins")
        return ColumnCounts(
            tuple(map(add, self.cells, other.cells)), self.missing + other.missing, self.unknown + other.unknown
        )


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The rows of a window, or of one segment of it: how many, and the counts of each column."""

    rows: int
    columns: Mapping[str, ColumnCounts]

    def __add__(self, other: "RowCounts") -> "RowCounts":
        """Rows of a part that lacks a column have no value in it."""
        names = sorted({*self.columns, *other.columns})
        return RowCounts(
            self.rows + other.rows, {name: self._of(name, other) + other._of(name, self) for name in names}
        )

    def _of(self, name: str, other: "RowCounts") -> ColumnCounts:
        if name in self.columns:
            return self.columns[name]
        return ColumnCounts((0,) * len(other.columns[name].cells), missing=self.rows)


def total(parts: Iterable[RowCounts]) -> RowCounts:
    """The parts of a window as one."""
    whole = RowCounts(0, {})
    for part in parts:
        whole = whole + part
    return whole


def checked(name: str, counts: ColumnCounts, bins: Bins, rows: int) -> ColumnCounts:
    """A column's counts, as somebody sent them; InvalidInput where they do not fit the bins or the number of rows."""
    if len(counts.cells) != bins.cells:
        raise InvalidInput(
            f"Column '{name}' has {many(len(counts.cells), 'count')}; its bins have {many(bins.cells, 'cell')}."
        )
    if min(counts.missing, counts.unknown, min(counts.cells, default=0)) < 0:
        raise InvalidInput(f"Column '{name}' has a count below 0.")
    if counts.rows != rows:
        raise InvalidInput(f"The counts of column '{name}' add up to {counts.rows}, and 'rows' is {rows}.")
    return counts

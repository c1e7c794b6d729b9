"""A batch: all that is kept of the rows of one request, or of a window. Batches add up, in any order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from app.domain.data_drift.counts import RowCounts
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.sums import Sum, exact_sum

Segment = tuple[str, str]
"""The name of a column, and one of its values."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of a regression, predicted less true value, over `rows` rows: sums of |e|, e² and e."""

    rows: int
    absolute: Sum
    squared: Sum
    signed: Sum

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.rows + other.rows,
            exact_sum(self.absolute + other.absolute),
            exact_sum(self.squared + other.squared),
            exact_sum(self.signed + other.signed),
        )


_Part = TypeVar("_Part", Outcomes, Errors)


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts of rows: of all of them, and of those of each segment that the layout names.

    `outcomes` are those of all rows, without labels; `labelled` those of the rows whose label is known, and `errors`
    the same of a regression. Labels that come later are a batch without rows. `unknown_columns` are columns that the
    layout does not know.
    """

    counts: RowCounts
    segments: Mapping[Segment, RowCounts] = field(default_factory=dict)
    outcomes: Outcomes | None = None
    labelled: Outcomes | None = None
    errors: Errors | None = None
    unknown_columns: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.counts.rows

    @property
    def labelled_rows(self) -> int:
        """From how many rows figures are made. Rows that lack a prediction, a score or a label that fits are none."""
        return (self.labelled.known if self.labelled else 0) + (self.errors.rows if self.errors else 0)

    @property
    def rows_with_label(self) -> int:
        """How many rows have a label, also those from which no figure is made."""
        return self.labelled_rows + (self.labelled.unknown if self.labelled else 0)

    def __add__(self, other: "Batch") -> "Batch":
        segments = dict(self.segments)
        for segment, counts in other.segments.items():
            segments[segment] = segments[segment] + counts if segment in segments else counts
        return Batch(
            self.counts + other.counts,
            segments,
            _sum(self.outcomes, other.outcomes),
            _sum(self.labelled, other.labelled),
            _sum(self.errors, other.errors),
            self.unknown_columns | other.unknown_columns,
        )


def _sum(first: _Part | None, second: _Part | None) -> _Part | None:
    if first is None or second is None:
        return first or second
    return first + second


def whole(batches: Iterable[Batch]) -> Batch:
    """The batches of a window as one."""
    parts = iter(batches)
    return sum(parts, start=next(parts, Batch(RowCounts(0, {}))))

"""Whether counts that somebody sent can be those of rows: parts of them bound each other.

Only what arrives is checked. What was taken once is read back as it is.
"""

import math
from operator import gt

from app.domain.data_drift.batch import Batch, Errors
from app.domain.data_drift.bins import Categories
from app.domain.data_drift.counts import ColumnCounts, total
from app.domain.data_drift.layout import Layout
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.plural import many
from app.domain.errors import InvalidInput

# Senders may add floats up one by one, and round each time.
_ROUNDED = 1 + 1e-6
# The squares of smaller errors are no floats.
_SMALLEST_ERROR = 1e-140


def check_coherent(batch: Batch, layout: Layout) -> None:
    """InvalidInput says which counts no rows could have together."""
    if batch.errors:
        _check_sums(batch.errors)
    if not batch.rows:
        # Labels that come later are of rows that were counted before.
        return
    if batch.rows_with_label > batch.rows:
        raise InvalidInput(f"{batch.rows_with_label} rows have labels, and 'rows' is {batch.rows}.")
    _check_segments(batch, layout)
    for what, outcomes in (("outcomes", batch.outcomes), ("labelled", batch.labelled)):
        if outcomes:
            _check_margins(what, outcomes, batch, layout)
    if batch.outcomes and batch.labelled and any(map(gt, _flat(batch.labelled), _flat(batch.outcomes))):
        raise InvalidInput("'labelled' has more rows of a class in a bin of the score than 'outcomes' has.")
    if batch.errors and layout.prediction and batch.errors.rows > batch.counts.columns[layout.prediction].present:
        raise InvalidInput(f"'errors' has more rows than column '{layout.prediction}' has values.")


def _check_sums(errors: Errors) -> None:
    """|Σe| is at most Σ|e|, which is at least √Σe² and, as Cauchy and Schwarz have it, at most √(n Σe²)."""
    absolute, root = errors.absolute[0], math.sqrt(errors.squared[0])
    for less, more, problem in (
        (abs(errors.signed[0]), absolute, "'signed' is further from 0 than 'absolute'"),
        (root, absolute, "'squared' is more than the square of 'absolute'"),
        (absolute, root * math.sqrt(errors.rows), "the square of 'absolute' is more than 'squared' times 'rows'"),
    ):
        if less > more * _ROUNDED + _SMALLEST_ERROR:
            raise InvalidInput(f"'errors' cannot be those of {many(errors.rows, 'row')}: {problem}.")


def _check_segments(batch: Batch, layout: Layout) -> None:
    for column in layout.segments:
        of_column = {value: counts for (name, value), counts in batch.segments.items() if name == column}
        # They have no row in common, so that together they are a part of all rows.
        for name, part in total(of_column.values()).columns.items():
            whole = batch.counts.columns[name]
            if part.missing > whole.missing or any(map(gt, _placed(part), _placed(whole))):
                raise InvalidInput(
                    f"The segments of column '{column}' have more rows in a cell of column '{name}', or without a "
                    "known value in it, than all rows have. A segment has the counts of every column."
                )
        bins = layout.columns.get(column)
        if isinstance(bins, Categories):
            for value, counts in of_column.items():
                if _placed(counts.columns[column])[_place_of(value, bins)] < counts.rows:
                    raise InvalidInput(f"Segment '{value}' has rows with another value in its column '{column}'.")


def _check_margins(what: str, outcomes: Outcomes, batch: Batch, layout: Layout) -> None:
    """Rows of a class, and in a bin of the score, are at most those that the columns of both have."""
    assert layout.prediction is not None  # noqa: S101 - outcomes are counted
    assert layout.score is not None  # noqa: S101 - likewise
    bins, predicted = layout.columns[layout.prediction], batch.counts.columns[layout.prediction]
    if isinstance(bins, Categories):
        left = list(_placed(predicted))
        for name, of_class in zip(outcomes.classes, outcomes.counts, strict=True):
            left[_place_of(name, bins)] -= sum(map(sum, of_class))
        if min(left) < 0:
            raise InvalidInput(f"'{what}' has more rows of a class than column '{layout.prediction}' has.")
    in_bins = [sum(map(sum, cells)) for cells in zip(*outcomes.counts, strict=True)]
    if any(map(gt, in_bins, batch.counts.columns[layout.score].cells)):
        raise InvalidInput(f"'{what}' has more rows in a bin of the score than column '{layout.score}' has.")


def _flat(outcomes: Outcomes) -> list[int]:
    return [sum(cell) for of_class in outcomes.counts for cell in of_class]


def _placed(counts: ColumnCounts) -> tuple[int, ...]:
    """The counts of the cells, and behind them that of unknown values."""
    return (*counts.cells, counts.unknown)


def _place_of(category: str, bins: Categories) -> int:
    """Where in `_placed` a category counts."""
    if category in bins.names:
        return bins.names.index(category)
    return len(bins.names) if category in bins.others else bins.cells

"""Counting chunks of rows by a layout. A chunk's rows are forgotten once they are counted."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.batch import Batch, Errors, Segment
from app.domain.data_drift.bins import Categories
from app.domain.data_drift.counts import ColumnCounts, RowCounts
from app.domain.data_drift.layout import LONGEST_NAME, MOST_COLUMNS, Layout
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.sums import exact_sum
from app.domain.errors import InvalidInput
from app.services.data_drift.columns import MISSING, UNKNOWN, Chunk, Places, Placing, as_numbers

Counts = NDArray[np.int64]
_GREATEST_ERROR = 1e140
NO_KNOWN_COLUMN = (
    "The reference has none of these columns. CSV has the columns' names in the first line, with commas between them."
)


def counted(chunks: Iterable[Chunk], layout: Layout, *, labels_only: bool = False) -> Batch:
    """The rows as counts. With `labels_only` predictions and labels alone, as of rows whose inputs came before."""
    inputs = None if labels_only else _Inputs(layout)
    classes = _Classes(layout) if layout.counts_outcomes else None
    errors = _Differences(layout) if layout.prediction and layout.label and not layout.classes else None
    names: set[str] = set()
    expected = {*layout.columns, *layout.ignored, *([layout.label] if layout.label else [])}
    for chunk in chunks:
        names |= chunk.names
        if inputs:
            inputs.add(chunk)
        if classes:
            classes.add(chunk)
        if errors:
            errors.add(chunk)
    counts = inputs.counts() if inputs else RowCounts(0, {})
    if counts.rows and not names & layout.columns.keys():
        # The names may be values, if the first line of a file is a row.
        raise InvalidInput(NO_KNOWN_COLUMN)
    return Batch(
        counts,
        inputs.of_segments() if inputs else {},
        classes.outcomes() if classes and inputs else None,
        classes.labelled() if classes and layout.label else None,
        errors.errors() if errors else None,
        frozenset(sorted(name[:LONGEST_NAME] for name in names - expected)[:MOST_COLUMNS]),
    )


class _Inputs:
    """Every column of the layout, for all rows and for those of each segment."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._placing = {name: Placing(bins) for name, bins in layout.columns.items()}
        self._segments = {name: Placing(Categories(values)) for name, values in layout.segments.items()}
        # Two cells more than the bins have: the last but one for missing values, the last for unknown ones.
        self._counts = {name: np.zeros(bins.cells + 2, np.int64) for name, bins in layout.columns.items()}
        self._rows = 0
        self._of_segments = {
            (segment, name): np.zeros((len(values), bins.cells + 2), np.int64)
            for segment, values in layout.segments.items()
            for name, bins in layout.columns.items()
        }
        self._rows_of_segments = {name: np.zeros(len(values), np.int64) for name, values in layout.segments.items()}

    def add(self, chunk: Chunk) -> None:
        self._rows += chunk.rows
        segments: dict[str, tuple[Places, Places]] = {}
        for name, placing in self._segments.items():
            if name in chunk.columns:
                places = placing.places(chunk.columns[name])
                rows = np.flatnonzero(places >= 0)
                segments[name] = rows, places[rows]
                self._rows_of_segments[name] += np.bincount(places[rows], minlength=len(self._rows_of_segments[name]))
        for name, placing in self._placing.items():
            cells = self._layout.columns[name].cells
            places = _within(placing, chunk, name, cells)
            self._counts[name] += np.bincount(places, minlength=cells + 2)
            for segment, (rows, values) in segments.items():
                table = self._of_segments[segment, name]
                table += np.bincount(values * (cells + 2) + places[rows], minlength=table.size).reshape(table.shape)

    def counts(self) -> RowCounts:
        return _row_counts(self._rows, self._counts)

    def of_segments(self) -> dict[Segment, RowCounts]:
        """The counts of each segment that has rows."""
        return {
            (segment, value): _row_counts(
                int(rows), {name: self._of_segments[segment, name][place] for name in self._counts}
            )
            for segment, values in self._layout.segments.items()
            for place, (value, rows) in enumerate(zip(values, self._rows_of_segments[segment], strict=True))
            if rows
        }


class _Classes:
    """Predicted class by bin of the score by true class. A row that lacks one of them is unknown."""

    def __init__(self, layout: Layout) -> None:
        assert layout.prediction is not None  # noqa: S101 - outcomes are counted
        assert layout.score is not None  # noqa: S101 - likewise
        self._layout = layout
        self._names = layout.prediction, layout.score, layout.label
        self._class = Placing(Categories(layout.classes))
        self._true = Placing(Categories(layout.classes))
        self._score = Placing(layout.columns[layout.score])
        many, bins = len(layout.classes), layout.score_bins
        self._counts = np.zeros((many, bins), np.int64)
        self._with_label = np.zeros((many, bins, many), np.int64)
        self._unknown = self._unknown_with_label = 0

    def add(self, chunk: Chunk) -> None:
        prediction, score, label = self._names
        nothing = np.full(chunk.rows, MISSING, dtype=np.intp)
        predicted, scores, true = (
            placing.places(chunk.columns[name]) if name is not None and name in chunk.columns else nothing
            for placing, name in ((self._class, prediction), (self._score, score), (self._true, label))
        )
        known = (predicted >= 0) & (scores >= 0)
        flat = predicted * self._counts.shape[1] + scores
        self._counts += np.bincount(flat[known], minlength=self._counts.size).reshape(self._counts.shape)
        self._unknown += chunk.rows - int(known.sum())
        known &= true >= 0
        flat = flat * len(self._layout.classes) + true
        shape = self._with_label.shape
        self._with_label += np.bincount(flat[known], minlength=self._with_label.size).reshape(shape)
        self._unknown_with_label += int((true != MISSING).sum() - known.sum())

    def outcomes(self) -> Outcomes:
        return self._as_outcomes(self._counts[:, :, None], self._unknown)

    def labelled(self) -> Outcomes:
        return self._as_outcomes(self._with_label, self._unknown_with_label)

    def _as_outcomes(self, counts: Counts, unknown: int) -> Outcomes:
        lists = tuple(tuple(tuple(cell) for cell in of_class) for of_class in counts.tolist())
        return Outcomes(self._layout.classes, lists, unknown)


class _Differences:
    """A regression's errors. Those that are too great to be added up are left out."""

    def __init__(self, layout: Layout) -> None:
        self._names = layout.prediction, layout.label
        self._sums = Errors(0, (0.0,), (0.0,), (0.0,))

    def add(self, chunk: Chunk) -> None:
        if not all(name in chunk.columns for name in self._names):
            return
        predicted, true = (as_numbers(chunk.columns[name]) for name in self._names if name)
        with np.errstate(invalid="ignore", over="ignore"):
            errors = predicted - true
        errors = errors[np.abs(errors) <= _GREATEST_ERROR]
        of_chunk = (exact_sum(part.tolist()) for part in (np.abs(errors), errors * errors, errors))
        self._sums += Errors(len(errors), *of_chunk)

    def errors(self) -> Errors:
        return self._sums


def _within(placing: Placing, chunk: Chunk, name: str, cells: int) -> Places:
    """The places of a column, with those of missing and unknown values behind the cells."""
    values = chunk.columns.get(name)
    if values is None:
        return np.full(chunk.rows, cells, dtype=np.intp)
    places = placing.places(values)
    places[places == MISSING] = cells
    places[places == UNKNOWN] = cells + 1
    return places


def _row_counts(rows: int, counts: Mapping[str, Counts]) -> RowCounts:
    columns = {}
    for name, cells in counts.items():
        *known, missing, unknown = cells.tolist()
        columns[name] = ColumnCounts(tuple(known), missing, unknown)
    return RowCounts(rows, columns)

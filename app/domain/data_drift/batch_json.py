"""A batch of counts as JSON, and back. docs/data-drift.md describes the form for clients."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.domain.data_drift.batch import Batch, Errors, Segment
from app.domain.data_drift.counts import ColumnCounts, RowCounts, checked
from app.domain.data_drift.layout import LONGEST_NAME, MOST_COLUMNS, Layout
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.sums import Sum, exact_sum
from app.domain.errors import InvalidInput

MOST_ROWS = 10**12
# An exact sum of floats takes at most forty.
_MOST_PARTS = 64
_GREATEST_SUM = 1e300
_OF_ROWS = {"rows", "columns"}
_MEMBERS = _OF_ROWS | {"segments", "outcomes", "labelled", "errors", "unknown_columns"}
_OF_SEGMENT = _OF_ROWS | {"column", "value"}
_OF_COLUMN = {"cells", "missing", "unknown"}
_OF_OUTCOMES = {"counts", "unknown"}
_OF_ERRORS = {"rows", "absolute", "squared", "signed"}


def batch_value(batch: Batch) -> dict[str, Any]:
    """The counts as JSON, without what is empty."""
    value = _rows_value(batch.counts)
    if batch.segments:
        value["segments"] = [
            {"column": column, "value": segment} | _rows_value(counts)
            for (column, segment), counts in sorted(batch.segments.items())
        ]
    for name, outcomes in (("outcomes", batch.outcomes), ("labelled", batch.labelled)):
        if outcomes:
            value[name] = {"counts": _lists(outcomes), "unknown": outcomes.unknown}
    if errors := batch.errors:
        value["errors"] = {
            "rows": errors.rows,
            "absolute": _sum_value(errors.absolute),
            "squared": _sum_value(errors.squared),
            "signed": _sum_value(errors.signed),
        }
    if batch.unknown_columns:
        value["unknown_columns"] = sorted(batch.unknown_columns)
    return value


def _rows_value(counts: RowCounts) -> dict[str, Any]:
    columns = {
        name: {"cells": list(column.cells), "missing": column.missing, "unknown": column.unknown}
        for name, column in sorted(counts.columns.items())
    }
    return {"rows": counts.rows, "columns": columns}


def _lists(outcomes: Outcomes) -> list[list[list[int]]]:
    return [[list(cell) for cell in of_class] for of_class in outcomes.counts]


def _sum_value(parts: Sum) -> float | list[float]:
    return list(parts) if len(parts) > 1 else parts[0]


def batch_from(value: Any, layout: Layout) -> Batch:
    """Counts that somebody sent, by a layout; InvalidInput says what does not fit.

    A column of the layout that is not sent has no value in any row.
    """
    sent = _mapping(value, "The counts", _MEMBERS)
    counts = _rows_from(sent, layout, "")
    segments = _segments_from(sent.get("segments", []), layout, counts.rows)
    outcomes = _outcomes_from(sent.get("outcomes"), layout, 1, "outcomes")
    if outcomes and outcomes.rows > counts.rows:
        raise InvalidInput(f"The outcomes add up to {outcomes.rows}, and 'rows' is {counts.rows}.")
    labelled = _outcomes_from(sent.get("labelled"), layout, len(layout.classes), "labelled")
    return Batch(
        counts,
        segments,
        outcomes,
        labelled,
        _errors_from(sent.get("errors"), layout),
        frozenset(_unknown_columns(sent.get("unknown_columns", []))),
    )


def _rows_from(value: Mapping[str, Any], layout: Layout, of: str) -> RowCounts:
    rows = _count(value.get("rows"), f"'rows'{of}")
    sent = _mapping(value.get("columns", {}), f"'columns'{of}")
    for name in sent:
        if name not in layout.columns:
            raise InvalidInput(
                f"The reference has no column '{name[:LONGEST_NAME]}'. Count by the bins that GET …/reference "
                "answers, and name other columns in 'unknown_columns'."
            )
    return RowCounts(rows, {name: _column_from(name, sent.get(name), layout, rows) for name in layout.columns})


def _column_from(name: str, value: Any, layout: Layout, rows: int) -> ColumnCounts:
    bins = layout.columns[name]
    if value is None:
        return ColumnCounts((0,) * bins.cells, missing=rows)
    column = _mapping(value, f"Column '{name}'", _OF_COLUMN)
    counts = ColumnCounts(
        _counts(column.get("cells"), f"'cells' of column '{name}'"),
        _count(column.get("missing", 0), f"'missing' of column '{name}'"),
        _count(column.get("unknown", 0), f"'unknown' of column '{name}'"),
    )
    return checked(name, counts, bins, rows)


def _segments_from(value: Any, layout: Layout, rows: int) -> dict[Segment, RowCounts]:
    segments: dict[Segment, RowCounts] = {}
    if not isinstance(value, list):
        raise InvalidInput("'segments' must be a list.")
    for entry in value:
        sent = _mapping(entry, "Each of 'segments'", _OF_SEGMENT)
        column, name = sent.get("column"), sent.get("value")
        if not isinstance(column, str) or not isinstance(name, str) or name not in layout.segments.get(column, ()):
            raise InvalidInput("The reference has no such segment as one of 'segments' names.")
        if (column, name) in segments:
            raise InvalidInput(f"Segment '{name}' of column '{column}' is there twice.")
        segments[column, name] = _rows_from(sent, layout, f" of segment '{name}'")
    for column in layout.segments:
        of_column = sum(counts.rows for (name, _), counts in segments.items() if name == column)
        if of_column > rows:
            raise InvalidInput(f"The segments of column '{column}' add up to {of_column}, and 'rows' is {rows}.")
    return segments


def _outcomes_from(value: Any, layout: Layout, last: int, what: str) -> Outcomes | None:
    if value is None:
        return None
    if not layout.counts_outcomes:
        raise InvalidInput(f"'{what}' takes a reference with classes, a prediction and a score.")
    sent = _mapping(value, f"'{what}'", _OF_OUTCOMES)
    shape = f"'counts' of '{what}' must have the shape {len(layout.classes)} by {layout.score_bins} by {last}."
    counts = tuple(
        _cells_from(_of_length(of_class, layout.score_bins, shape), last, shape)
        for of_class in _of_length(sent.get("counts"), len(layout.classes), shape)
    )
    return Outcomes(layout.classes, counts, _count(sent.get("unknown", 0), f"'unknown' of '{what}'"))


def _cells_from(cells: Sequence[Any], last: int, shape: str) -> tuple[tuple[int, ...], ...]:
    for cell in cells:
        _of_length(cell, last, shape)
    flat = _counts([count for cell in cells for count in cell], shape)
    return tuple(zip(*[iter(flat)] * last, strict=True))


def _errors_from(value: Any, layout: Layout) -> Errors | None:
    if value is None:
        return None
    if layout.classes:
        raise InvalidInput("'errors' are those of a regression, and the reference has classes.")
    sent = _mapping(value, "'errors'", _OF_ERRORS)
    absolute, squared, signed = (_sum_from(sent.get(name), name) for name in ("absolute", "squared", "signed"))
    if min(absolute[0], squared[0]) < 0:
        raise InvalidInput("'absolute' and 'squared' of 'errors' must not be below 0.")
    return Errors(_count(sent.get("rows"), "'rows' of 'errors'"), absolute, squared, signed)


def _sum_from(value: Any, what: str) -> Sum:
    parts = value if isinstance(value, list) else [value]
    if not 1 <= len(parts) <= _MOST_PARTS or not all(
        isinstance(part, int | float) and not isinstance(part, bool) and abs(part) <= _GREATEST_SUM for part in parts
    ):
        raise InvalidInput(f"'{what}' of 'errors' must be a number, or a list of numbers that add up to it.")
    return exact_sum(map(float, parts))


def _unknown_columns(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_COLUMNS:
        raise InvalidInput(f"'unknown_columns' must be a list of at most {MOST_COLUMNS} names.")
    if any(not isinstance(name, str) or len(name) > LONGEST_NAME for name in value):
        raise InvalidInput(f"'unknown_columns' must have names of at most {LONGEST_NAME} characters.")
    return value


def _of_length(value: Any, length: int, problem: str) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise InvalidInput(problem)
    return value


def _counts(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise InvalidInput(f"{what} must be a list of counts.")
    # A series has millions of counts. Those that are all right are seen to be so without a call for each.
    if value and not (set(map(type, value)) == {int} and min(value) >= 0 and max(value) <= MOST_ROWS):
        for one in value:
            _count(one, f"Each of {what}")
    return tuple(value)


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_ROWS:
        raise InvalidInput(f"{what} must be a whole number from 0 to {MOST_ROWS}.")
    return value


def _mapping(value: Any, what: str, members: Collection[str] | None = None) -> Mapping[str, Any]:
    """An object, which has no other than these members, if they are given."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be an object.")
    if members is not None and (others := value.keys() - members):
        raise InvalidInput(f"{what} has the unknown member '{min(others)[:LONGEST_NAME]}'.")
    return value

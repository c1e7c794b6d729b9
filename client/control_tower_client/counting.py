"""Counting rows by a layout, as the service does: the same rows give the same counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from control_tower_client.canonical import number_of, text_of, text_of_number
from control_tower_client.frames import columns_of

_MISSING, _UNKNOWN = -2, -1
_LONGEST_NAME = 250
_MOST_COLUMNS = 1000
_GREATEST_ERROR = 1e140
Ints = "np.ndarray[Any, Any]"


def counts_of(
    rows: Any,
    layout: dict[str, Any],
    *,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    labels_only: bool = False,
) -> dict[str, Any]:
    """The rows as counts, in the form that `POST …/batches` takes as `counts`.

    `layout` is that of the reference, as `ControlTower.reference` answers it. `label` names the column with the true
    values, where the reference has none. With `labels_only` predictions and labels alone are counted. Of a column that
    is not counted no value is looked at. ValueError for rows and labels that the service would refuse.

    >>> layout = {"columns": {"age": {"kind": "numeric", "edges": [18.0, 30.0]}}}
    >>> counts_of([{"age": 17}, {"age": "31"}, {"age": None}], layout)["columns"]["age"]
    {'cells': [1, 0, 1], 'missing': 1, 'unknown': 0}
    """
    bins = layout["columns"]
    known = layout.get("label")
    needed = {layout.get("prediction"), layout.get("score"), known or label}
    needed |= set() if labels_only else {*bins, *layout.get("segments", {})}
    many, names, by_name = columns_of(rows, columns, needed.__contains__)
    if label and known and label != known:
        raise ValueError(f"the label of the reference is the column '{known}', not '{label}'")
    if label in bins:
        raise ValueError(f"the reference has '{label}' as an input, so it cannot be the label")
    if not many:
        raise ValueError("there are no rows")
    if not labels_only and not by_name.keys() & bins.keys():
        raise ValueError("the reference has none of these columns")
    label = known or label
    counts: dict[str, Any] = {"rows": 0}
    if not labels_only:
        places = {name: _places(by_name.get(name), _cells(column), many) for name, column in bins.items()}
        counts = _rows_counted(places, bins, np.ones(many, dtype=bool)) | _segments(by_name, places, layout, many)
    counts |= _outcomes(by_name, layout, label, many, labels_only)
    unknown = sorted(set(names) - bins.keys() - layout.get("ignored", {}).keys() - {label})
    if unknown and not labels_only:
        counts["unknown_columns"] = [name[:_LONGEST_NAME] for name in unknown[:_MOST_COLUMNS]]
    return counts


def _cells(column: dict[str, Any]) -> Any:
    """What the cells of a column are: edges, or the cell of each category."""
    if column["kind"] == "numeric":
        return np.array(column["edges"], dtype=np.float64)
    names = column["categories"]
    return dict.fromkeys(column.get("others", ()), len(names)) | {name: cell for cell, name in enumerate(names)}


def _many_cells(column: dict[str, Any]) -> int:
    if column["kind"] == "numeric":
        return len(column["edges"]) + 1
    return len(column["categories"]) + bool(column.get("others"))


def _places(values: Any, cells: Any, many: int) -> Any:
    """The cell of each row."""
    if values is None:
        return np.full(many, _MISSING)
    if isinstance(values, tuple):
        rows, distinct = values
        return np.array([_place(value, cells) for value in distinct] or [_MISSING])[rows]
    if isinstance(cells, np.ndarray):
        places = np.searchsorted(cells, values, side="right")
        places[np.isnan(values)] = _MISSING
        return places
    distinct, rows = np.unique(values, return_inverse=True)
    of_distinct = [
        _MISSING if math.isnan(number) else cells.get(text_of_number(number), _UNKNOWN) for number in distinct.tolist()
    ]
    return np.array(of_distinct or [_MISSING])[rows.reshape(-1)]


def _place(value: Any, cells: Any) -> int:
    if value is None:
        return _MISSING
    if not isinstance(cells, np.ndarray):
        return int(cells.get(text_of(value), _UNKNOWN))
    number = number_of(value)
    return _UNKNOWN if number is None else int(np.searchsorted(cells, number, side="right"))


def _rows_counted(places: dict[str, Any], bins: dict[str, Any], chosen: Any) -> dict[str, Any]:
    columns = {}
    for name, of_column in places.items():
        part = of_column[chosen]
        cells = np.bincount(part[part >= 0], minlength=_many_cells(bins[name])).tolist()
        columns[name] = {
            "cells": cells,
            "missing": int((part == _MISSING).sum()),
            "unknown": int((part == _UNKNOWN).sum()),
        }
    return {"rows": int(chosen.sum()), "columns": columns}


def _segments(by_name: dict[str, Any], places: dict[str, Any], layout: dict[str, Any], many: int) -> dict[str, Any]:
    segments = []
    for column, values in layout.get("segments", {}).items():
        of_rows = _places(by_name.get(column), {value: place for place, value in enumerate(values)}, many)
        for place, value in enumerate(values):
            chosen = of_rows == place
            if chosen.any():
                counted = _rows_counted(places, layout["columns"], chosen)
                segments.append({"column": column, "value": value} | counted)
    return {"segments": segments} if segments else {}


def _outcomes(
    by_name: dict[str, Any], layout: dict[str, Any], label: str | None, many: int, labels_only: bool
) -> dict[str, Any]:
    prediction, score, classes = layout.get("prediction"), layout.get("score"), layout.get("classes") or []
    if classes and prediction and score:
        names = {name: place for place, name in enumerate(classes)}
        predicted = _places(by_name.get(prediction), names, many)
        scores = _places(by_name.get(score), _cells(layout["columns"][score]), many)
        shape = len(classes), _many_cells(layout["columns"][score])
        known = (predicted >= 0) & (scores >= 0)
        counted = {} if labels_only else {"outcomes": _table(predicted, scores, known, (*shape, 1), many)}
        if label:
            true = _places(by_name.get(label), names, many)
            both = known & (true >= 0)
            flat = scores * len(classes) + true
            with_label = int((true != _MISSING).sum())
            counted["labelled"] = _table(predicted, flat, both, (*shape, len(classes)), with_label)
        return counted
    if prediction and label and not classes:
        return {"errors": _errors(by_name, prediction, label)}
    return {}


def _table(first: Any, rest: Any, known: Any, shape: tuple[int, ...], rows: int) -> dict[str, Any]:
    size = math.prod(shape)
    flat = first[known] * (size // shape[0]) + rest[known]
    return {"counts": np.bincount(flat, minlength=size).reshape(shape).tolist(), "unknown": rows - int(known.sum())}


def _errors(by_name: dict[str, Any], prediction: str, label: str) -> dict[str, Any]:
    if prediction not in by_name or label not in by_name:
        return {"rows": 0, "absolute": 0.0, "squared": 0.0, "signed": 0.0}
    with np.errstate(invalid="ignore", over="ignore"):
        errors = _numbers(by_name[prediction]) - _numbers(by_name[label])
    errors = errors[np.abs(errors) <= _GREATEST_ERROR]
    return {
        "rows": len(errors),
        "absolute": _exact_sum(np.abs(errors)),
        "squared": _exact_sum(errors * errors),
        "signed": _exact_sum(errors),
    }


def _exact_sum(numbers: Any) -> float | list[float]:
    """The sum as a float, or, where that is rounded, the numbers that add up to it exactly."""
    summands = numbers.tolist()
    parts: list[float] = []
    while rest := math.fsum([*summands, *(-part for part in parts)]):
        parts.append(rest)
    return parts if len(parts) > 1 else sum(parts, 0.0)


def _numbers(values: Any) -> Any:
    if not isinstance(values, tuple):
        return values
    numbers = [number_of(value) for value in values[1]]
    return np.array([math.nan if number is None else number for number in numbers] or [math.nan])[values[0]]

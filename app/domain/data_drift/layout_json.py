"""A layout as JSON, and back. docs/data-drift.md describes the form for clients."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from app.domain.data_drift.bins import CATEGORICAL, LONGEST_CATEGORY, NUMERIC, Bins, Categories, NumericBins
from app.domain.data_drift.layout import (
    MOST_CLASSES,
    MOST_COLUMNS,
    MOST_SEGMENT_COLUMNS,
    MOST_SEGMENT_VALUES,
    Layout,
    check_name,
)
from app.domain.errors import InvalidInput

MOST_CELLS = 1001
_MOST_OTHER_VALUES = 10**12


def layout_value(layout: Layout) -> dict[str, Any]:
    """The layout as JSON."""
    # Layouts that were kept before there were `other_values` stay the same.
    others = {"other_values": dict(layout.other_values)} if layout.other_values else {}
    return {
        "columns": {name: _bins_value(layout, name) for name in layout.columns},
        "prediction": layout.prediction,
        "score": layout.score,
        "label": layout.label,
        "classes": list(layout.classes),
        "segments": {column: list(values) for column, values in layout.segments.items()},
        "ignored": dict(layout.ignored),
        **others,
    }


def _bins_value(layout: Layout, name: str) -> dict[str, Any]:
    bins = layout.columns[name]
    what = {"kind": layout.kind(name), "role": layout.role(name)}
    if isinstance(bins, NumericBins):
        return what | {"edges": list(bins.edges)}
    return what | {"categories": list(bins.names), "others": list(bins.others)}


def layout_from(value: Any) -> Layout:
    """A layout that somebody sent; InvalidInput says what is wrong with it."""
    known = _mapping(value, "The layout", 8)
    columns = {
        _name(name): _bins_from(name, column)
        for name, column in _mapping(known.get("columns"), "'columns' of the layout", MOST_COLUMNS).items()
    }
    if not columns:
        raise InvalidInput("The layout has no columns.")
    layout = Layout(
        columns,
        _optional_name(known.get("prediction"), "prediction"),
        _optional_name(known.get("score"), "score"),
        _optional_name(known.get("label"), "label"),
        _texts(known.get("classes", []), "'classes' of the layout", MOST_CLASSES),
        {
            _name(column): _texts(values, f"The values of segment '{column}'", MOST_SEGMENT_VALUES)
            for column, values in _mapping(
                known.get("segments", {}), "'segments' of the layout", MOST_SEGMENT_COLUMNS
            ).items()
        },
        {
            _name(column): _text(reason, f"The reason why column '{column}' is ignored", 1000)
            for column, reason in _mapping(known.get("ignored", {}), "'ignored' of the layout", MOST_COLUMNS).items()
        },
        _other_values(known.get("other_values", {})),
    )
    _check(layout)
    return layout


def _check(layout: Layout) -> None:
    for what, column in (("prediction", layout.prediction), ("score", layout.score)):
        if column is not None and column not in layout.columns:
            raise InvalidInput(f"The {what} '{column}' is not among the columns of the layout.")
    if layout.score is not None and not isinstance(layout.columns[layout.score], NumericBins):
        raise InvalidInput(f"The score '{layout.score}' must be numeric.")
    if layout.label is not None and layout.label in layout.columns:
        raise InvalidInput(f"The label '{layout.label}' is not counted, so it must not be among the columns.")
    if len(layout.classes) == 1:
        raise InvalidInput("A classifier has at least two classes.")


def _bins_from(name: str, value: Any) -> Bins:
    column = _mapping(value, f"Column '{name}' of the layout", 4)
    if column.get("kind") == NUMERIC:
        return NumericBins(_edges(name, column.get("edges")))
    if column.get("kind") == CATEGORICAL:
        names = _texts(column.get("categories"), f"The categories of column '{name}'", MOST_CELLS)
        others = _texts(column.get("others", []), f"The other categories of column '{name}'", MOST_CELLS)
        if set(names) & set(others):
            raise InvalidInput(f"Column '{name}' has a category twice.")
        return Categories(names, others)
    raise InvalidInput(f"The kind of column '{name}' must be '{NUMERIC}' or '{CATEGORICAL}'.")


def _edges(name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > MOST_CELLS:
        raise InvalidInput(f"The edges of column '{name}' must be a list of at most {MOST_CELLS} numbers.")
    if any(isinstance(edge, bool) or not isinstance(edge, int | float) for edge in value):
        raise InvalidInput(f"The edges of column '{name}' must be numbers.")
    try:
        edges = tuple(float(edge) for edge in value)
    except OverflowError:
        edges = (math.inf,)
    if not all(math.isfinite(edge) for edge in edges):
        raise InvalidInput(f"The edges of column '{name}' must be finite.")
    if any(after <= before for before, after in pairwise(edges)):
        raise InvalidInput(f"The edges of column '{name}' must rise.")
    return edges


def _mapping(value: Any, what: str, most: int) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be an object.")
    if len(value) > most:
        raise InvalidInput(f"{what} has more than {most} entries.")
    return value


def _texts(value: Any, what: str, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise InvalidInput(f"{what} must be a list of at most {most} texts.")
    texts = tuple(_text(text, f"Each of {what[0].lower()}{what[1:]}", LONGEST_CATEGORY) for text in value)
    if len(set(texts)) != len(texts):
        raise InvalidInput(f"{what} has an entry twice.")
    return texts


def _text(value: Any, what: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise InvalidInput(f"{what} must be a text of at most {longest} characters.")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput("The name of a column must be a text.")
    check_name(value)
    return value


def _other_values(value: Any) -> dict[str, int]:
    sent = _mapping(value, "'other_values' of the layout", MOST_SEGMENT_COLUMNS)
    if any(isinstance(n, bool) or not isinstance(n, int) or not 0 < n < _MOST_OTHER_VALUES for n in sent.values()):
        raise InvalidInput("'other_values' of the layout must have whole numbers above 0.")
    return {_name(column): n for column, n in sent.items()}


def _optional_name(value: Any, what: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"'{what}' must be the name of a column.")
    return value

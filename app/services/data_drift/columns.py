"""A column's values in a chunk of rows, and the cell that each of them counts in."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.bins import Bins, NumericBins
from app.domain.data_drift.canonical import NoValue, Value, number_of, read, text_of, text_of_number
from app.domain.errors import InvalidInput

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
LONGEST_CELL = 65_536
"""Characters of a value. Longer ones are documents, not features."""
LONGEST_UNREAD = 1 << 20
"""Characters, or members, of a value in a column that is not counted. Those of CSV are bounded by the row."""
MISSING = -2
UNKNOWN = -1
# What is remembered of a column's texts, so that each is looked up once and not once a chunk.
_MOST_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """Values that all are numbers, or missing (NaN)."""

    values: Floats


@dataclass(frozen=True, slots=True)
class Coded:
    """Any values: each row has the place of its value among `distinct`, in which a value may be there twice."""

    rows: Places
    distinct: Sequence[Value]


ColumnValues = Numbers | Coded
Wanted = Callable[[str], bool]
"""Whether a column is to be read."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows. A column that is not there has no value in them. `names` are all columns, read or not."""

    rows: int
    columns: Mapping[str, ColumnValues]
    names: frozenset[str]


class Placing:
    """Says in which cell of a column's bins each value counts: its number, or `MISSING` or `UNKNOWN`."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._known: dict[Value, int] = {}
        if isinstance(bins, NumericBins):
            self._edges = np.array(bins.edges, dtype=np.float64)
        else:
            others = dict.fromkeys(bins.others, len(bins.names))
            self._cells = others | {name: cell for cell, name in enumerate(bins.names)}

    def places(self, values: ColumnValues) -> Places:
        """The cell of each row."""
        if isinstance(values, Coded):
            return np.array([self._of(value) for value in values.distinct] or [MISSING], dtype=np.intp)[values.rows]
        if isinstance(self._bins, NumericBins):
            places = np.searchsorted(self._edges, values.values, side="right")
            places[np.isnan(values.values)] = MISSING
            return places
        texts, rows = as_texts(values)
        cells = [MISSING if text is None else self._cells.get(text, UNKNOWN) for text in texts]
        return np.array(cells, dtype=np.intp)[rows]

    def _of(self, value: Value) -> int:
        if value is None:
            return MISSING
        # True == 1.0 as a key of a dictionary.
        key = text_of(value) if isinstance(value, bool) else value
        place = self._known.get(key)
        if place is None:
            place = self._looked_up(value)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = place
        return place

    def _looked_up(self, value: Value) -> int:
        if not isinstance(self._bins, NumericBins):
            return self._cells.get(text_of(value) or "", UNKNOWN)
        number = number_of(value)
        return UNKNOWN if number is None else int(np.searchsorted(self._edges, number, side="right"))


def coded(column: str, values: Sequence[object], rows: Places) -> Coded:
    """Distinct raw values as they count; `rows` has the place of each row's. InvalidInput for what is no value."""
    return Coded(rows, [_value(column, value) for value in values])


def from_objects(column: str, values: Sequence[Any]) -> ColumnValues:
    """The values of a column as Python objects."""
    kinds = set(map(type, values))
    if kinds <= {float, int, type(None)}:
        with suppress(OverflowError):
            return Numbers(np.array(values, dtype=np.float64))
    try:
        if kinds <= {str, type(None)}:
            texts: dict[Any, int] = {}
            rows = [texts.setdefault(value, len(texts)) for value in values]
            return coded(column, list(texts), np.array(rows, dtype=np.intp))
        # With the type, since True == 1 == 1.0.
        keys: dict[tuple[type, Any], int] = {}
        rows = [keys.setdefault((type(value), value), len(keys)) for value in values]
        return coded(column, [value for _, value in keys], np.array(rows, dtype=np.intp))
    except TypeError:
        # Lists and objects are no keys, and no values either.
        return coded(column, values, np.arange(len(values)))


def _value(column: str, raw: object) -> Value:
    if isinstance(raw, str | bytes) and len(raw) > LONGEST_CELL:
        raise InvalidInput(f"Column '{column}' has a value of more than {LONGEST_CELL} characters.")
    try:
        return read(raw)
    except NoValue as error:
        raise InvalidInput(
            f"Column '{column}' has a value of the type {error}: send numbers, texts, true, false or null."
        ) from None


def check_unread(column: str, values: Iterable[Any]) -> None:
    """Refuse a value that is too long for any column, of one that is not counted."""
    if any(len(value) > LONGEST_UNREAD for value in values if isinstance(value, str | list | dict)):
        raise unread_too_long(column)


def unread_too_long(column: str) -> InvalidInput:
    """What is wrong with a column that is not counted."""
    return InvalidInput(
        f"Column '{column}' has a value of more than {LONGEST_UNREAD} characters: leave the column out."
    )


def as_numbers(values: ColumnValues) -> Floats:
    """Each row's value as a number; NaN where it is missing or is none."""
    if isinstance(values, Numbers):
        return values.values
    numbers = [number_of(value) for value in values.distinct]
    return np.array([math.nan if number is None else number for number in numbers] or [math.nan])[values.rows]


def as_texts(values: ColumnValues) -> tuple[list[str | None], Places]:
    """Categories, None where a value is missing, and the place of each row's category among them."""
    if isinstance(values, Coded):
        return [text_of(value) for value in values.distinct], values.rows
    distinct, rows = np.unique(values.values, return_inverse=True)
    return [None if math.isnan(number) else text_of_number(number) for number in distinct.tolist()], rows

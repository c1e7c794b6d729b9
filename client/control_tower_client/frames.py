"""Rows of many kinds as columns: pandas and polars frames, numpy arrays, lists and dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from control_tower_client.canonical import NoValue, Time, Value, read

Coded = tuple["np.ndarray[Any, Any]", "list[Value]"]
"""The place of each row's value among distinct ones."""
Column = "np.ndarray[Any, Any] | Coded"
"""Numbers, NaN where there is none; or any values."""

_BEYOND_FLOATS = 2**1024
_IN_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TOO_LARGE = "a whole number beyond the range of a float"
_FINER = ("ps", "fs", "as")


class _NotCounted(Exception):
    """What is wrong with a value of a column."""


def columns_of(
    rows: Any, columns: Sequence[str] | None, wanted: Callable[[str], bool]
) -> tuple[int, list[str], dict[str, Any]]:
    """How many rows there are, the names of all columns, and the values of each column that is wanted.

    `rows` is a pandas or polars frame, a dictionary of columns, a list of dictionaries, a numpy array, or a list of
    lists. The last two, unless the array has names, take the names in `columns`. ValueError for anything else, and for
    a value in a wanted column that cannot be counted. The values of other columns are not looked at.
    """
    many, names, column_at = _columns_in(rows, columns)
    by_name = {}
    for place, name in enumerate(names):
        if wanted(name):
            try:
                by_name[name] = column_at(place)
            except _NotCounted as problem:
                raise ValueError(
                    f"column '{name}' has {problem}: send numbers, texts, times, True, False or None, or leave the "
                    "column out"
                ) from None
    return many, names, by_name


def _columns_in(rows: Any, columns: Sequence[str] | None) -> tuple[int, list[str], Callable[[int], Any]]:
    """How many rows there are, the names of the columns, and what reads the column at a place."""
    if rows is None or isinstance(rows, (str, bytes)):
        raise ValueError("rows: send a frame, columns, a list of rows or an array")
    if hasattr(rows, "columns") and hasattr(rows, "__getitem__"):
        keys = list(rows.columns)
        return len(rows), _once([str(key) for key in keys]), lambda place: _of_series(rows[keys[place]])
    if isinstance(rows, np.ndarray) and rows.dtype.names:
        fields = rows.dtype.names
        return len(rows), list(fields), lambda place: _of_array(rows[fields[place]])
    if isinstance(rows, np.ndarray):
        names = _named(columns, rows.shape[1] if rows.ndim == 2 else 1)  # noqa: PLR2004 - rows and columns
        table = rows.reshape(len(rows), -1)
        return len(rows), names, lambda place: _of_array(table[:, place])
    if isinstance(rows, Mapping):
        lengths = {len(values) for values in rows.values()}
        if len(lengths) > 1:
            raise ValueError("the columns have different lengths")
        of_names = list(rows.values())
        return max(lengths, default=0), list(rows), lambda place: _of_series(of_names[place])
    return _in_list(list(rows), columns)


def _in_list(rows: list[Any], columns: Sequence[str] | None) -> tuple[int, list[str], Callable[[int], Any]]:
    if not rows:
        return 0, [], lambda _: _of_objects([])
    is_named = isinstance(rows[0], Mapping)
    if any(isinstance(row, Mapping) is not is_named or not hasattr(row, "__len__") for row in rows):
        raise ValueError("rows: each must be a dictionary, or each a list")
    if is_named:
        names = list(dict.fromkeys(name for row in rows for name in row))
        return len(rows), names, lambda place: _of_objects([row.get(names[place]) for row in rows])
    if len(set(map(len, rows))) > 1:
        raise ValueError("the rows have different lengths")
    return len(rows), _named(columns, len(rows[0])), lambda place: _of_objects([row[place] for row in rows])


def _named(columns: Sequence[str] | None, many: int) -> list[str]:
    if columns is None or len(columns) != many:
        raise ValueError(f"name the {many} columns: columns=[...]")
    return _once(list(columns))


def _once(names: list[str]) -> list[str]:
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"column '{twice[0]}' is there twice")
    return names


def _of_series(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _of_array(values)
    kind = str(getattr(values, "dtype", ""))
    if kind.startswith(("Int", "UInt", "Float")) and hasattr(values, "isna"):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind.startswith(("int", "uint", "float", "bool", "timedelta64")) and hasattr(values, "isna"):
        return _of_array(values.to_numpy())
    if kind.startswith(("Int", "UInt", "Float")) and hasattr(values, "to_numpy"):
        # polars makes nulls NaN.
        return np.asarray(values.to_numpy(), dtype=np.float64)
    return _of_objects(values.tolist() if hasattr(values, "tolist") else list(values))


def _of_array(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind == "m":
        return _seconds(values)
    if values.dtype.kind == "M":
        times = values.astype("datetime64[us]")
        raw, rows = np.unique(times.astype(np.int64), return_inverse=True)
        missing = np.datetime64("NaT", "us").astype(np.int64)
        return rows.reshape(-1), [None if one == missing else Time(int(one)) for one in raw]
    return _of_objects(values.tolist())


def _of_objects(values: Sequence[Any]) -> Any:
    if set(map(type, values)) <= {float, int, type(None)}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            raise _NotCounted(_TOO_LARGE) from None
    keys: dict[Any, int] = {}
    try:
        rows = [keys.setdefault((type(value), value), len(keys)) for value in values]
    except TypeError:
        raise _NotCounted("a value that is a list or an object") from None
    try:
        return np.array(rows, dtype=np.intp), [read(_plain(value)) for _, value in keys]
    except NoValue as error:
        raise _NotCounted(f"a value of the type {error}") from None


def _seconds(durations: Any) -> Any:
    """Durations of numpy, one or an array, as seconds; NaN for NaT."""
    unit = np.datetime_data(durations.dtype)[0]
    unit = unit if unit in _IN_A_SECOND else "ns" if unit in _FINER else "s"
    whole = durations.astype(f"timedelta64[{unit}]").astype(np.int64)
    return np.where(np.isnat(durations), np.nan, whole.astype(np.float64) / _IN_A_SECOND[unit])


def _plain(value: Any) -> Any:
    """Numbers, times and durations of numpy and pandas as Python's own."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "to_timedelta64"):
        value = value.to_timedelta64()
    if isinstance(value, np.timedelta64):
        return float(_seconds(value))
    if isinstance(value, np.datetime64):
        # Of nanoseconds numpy makes a whole number, and not a time.
        value = value.astype("datetime64[us]")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime) and type(value) is not datetime:
        return value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
    if isinstance(value, int) and abs(value) >= _BEYOND_FLOATS:
        raise _NotCounted(_TOO_LARGE)
    return str(value) if isinstance(value, str) else value

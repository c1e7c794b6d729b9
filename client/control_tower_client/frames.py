"""Rows of many kinds as columns: pandas and polars frames, numpy arrays, lists and dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from control_tower_client.canonical import Time, Value, read

Coded = tuple["np.ndarray[Any, Any]", "list[Value]"]
"""The place of each row's value among distinct ones."""
Column = "np.ndarray[Any, Any] | Coded"
"""Numbers, NaN where there is none; or any values."""

_BEYOND_FLOATS = 2**1024
_TOO_LARGE = "a whole number is beyond the range of a float"


def columns_of(rows: Any, columns: Sequence[str] | None = None) -> tuple[int, dict[str, Any]]:
    """How many rows there are, and the values of each column.

    `rows` is a pandas or polars frame, a dictionary of columns, a list of dictionaries, a numpy array, or a list of
    lists. The last two, unless the array has names, take the names in `columns`. ValueError for anything else.
    """
    if rows is None or isinstance(rows, (str, bytes)):
        raise ValueError("rows: send a frame, columns, a list of rows or an array")
    if hasattr(rows, "columns") and hasattr(rows, "__getitem__"):
        _check_once([str(name) for name in rows.columns])
        return len(rows), {str(name): _of_series(rows[name]) for name in rows.columns}
    if isinstance(rows, np.ndarray) and rows.dtype.names:
        return len(rows), {name: _of_array(rows[name]) for name in rows.dtype.names}
    if isinstance(rows, np.ndarray):
        _check_names(columns, rows.shape[1] if rows.ndim == 2 else 1)  # noqa: PLR2004 - rows and columns
        table = rows.reshape(len(rows), -1)
        return len(rows), {name: _of_array(table[:, place]) for place, name in enumerate(columns or ())}
    if isinstance(rows, Mapping):
        lengths = {len(values) for values in rows.values()}
        if len(lengths) > 1:
            raise ValueError("the columns have different lengths")
        return max(lengths, default=0), {name: _of_series(values) for name, values in rows.items()}
    return _of_list(list(rows), columns)


def _of_list(rows: list[Any], columns: Sequence[str] | None) -> tuple[int, dict[str, Any]]:
    if not rows:
        return 0, {}
    is_named = isinstance(rows[0], Mapping)
    if any(isinstance(row, Mapping) is not is_named or not hasattr(row, "__len__") for row in rows):
        raise ValueError("rows: each must be a dictionary, or each a list")
    if is_named:
        names = list(dict.fromkeys(name for row in rows for name in row))
        return len(rows), {name: _of_objects([row.get(name) for row in rows]) for name in names}
    if len(set(map(len, rows))) > 1:
        raise ValueError("the rows have different lengths")
    _check_names(columns, len(rows[0]))
    return len(rows), {name: _of_objects([row[place] for row in rows]) for place, name in enumerate(columns or ())}


def _check_names(columns: Sequence[str] | None, many: int) -> None:
    if columns is None or len(columns) != many:
        raise ValueError(f"name the {many} columns: columns=[...]")
    _check_once(columns)


def _check_once(names: Sequence[str]) -> None:
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"column '{twice[0]}' is there twice")


def _of_series(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _of_array(values)
    kind = str(getattr(values, "dtype", ""))
    if kind.startswith(("Int", "UInt", "Float")) and hasattr(values, "isna"):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind.startswith(("int", "uint", "float", "bool")) and hasattr(values, "isna"):
        return _of_array(values.to_numpy())
    if kind.startswith(("Int", "UInt", "Float")) and hasattr(values, "to_numpy"):
        # polars makes nulls NaN.
        return np.asarray(values.to_numpy(), dtype=np.float64)
    return _of_objects(values.tolist() if hasattr(values, "tolist") else list(values))


def _of_array(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
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
            raise ValueError(_TOO_LARGE) from None
    keys: dict[Any, int] = {}
    try:
        rows = [keys.setdefault((type(value), value), len(keys)) for value in values]
    except TypeError:
        raise ValueError("a value is a list or an object: send numbers, texts, True, False or None") from None
    return np.array(rows, dtype=np.intp), [read(_plain(value)) for _, value in keys]


def _plain(value: Any) -> Any:
    """Numbers of numpy and times of pandas as Python's own."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, datetime) and type(value) is not datetime:
        return value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
    if isinstance(value, int) and abs(value) >= _BEYOND_FLOATS:
        raise ValueError(_TOO_LARGE)
    return str(value) if isinstance(value, str) else value

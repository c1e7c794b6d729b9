"""Columns of Arrow as values that count. CSV and Parquet are read by Arrow."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.domain.data_drift.canonical import Time
from app.domain.errors import InvalidInput
from app.services.data_drift.columns import Coded, ColumnValues, Numbers, coded

_MICROSECONDS = {"s": (1_000_000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}
_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def from_arrow(column: str, values: pa.Array) -> ColumnValues:
    """The values of a column. InvalidInput for lists, structures and other types that are no single values."""
    kind = values.type
    for holds, reader in _READERS:
        if holds(kind):
            return reader(column, values)
    raise InvalidInput(f"Column '{column}' has the type {str(kind)[:100]}: leave it out, or send single values.")


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are texts, or bytes."""
    return any(holds(kind.value_type if pa.types.is_dictionary(kind) else kind) for holds in _TEXTS)


def longest_of(values: pa.Array) -> int:
    """The length of the longest text, or of the most bytes."""
    of_texts = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    return pc.max(pc.utf8_length(values) if of_texts else pc.binary_length(values)).as_py() or 0


def _numbers(_: str, values: pa.Array) -> ColumnValues:
    if values.type == pa.float16():
        return Numbers(np.array([np.nan if one is None else float(one) for one in values.to_pylist()]))
    return Numbers(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _decimals(_: str, values: pa.Array) -> ColumnValues:
    # By their texts, since those are rounded correctly.
    return Numbers(values.cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False))


def _durations(_: str, values: pa.Array) -> ColumnValues:
    whole = values.cast(pa.int64()).cast(pa.float64(), safe=False)
    return Numbers(whole.to_numpy(zero_copy_only=False) / _SECONDS[values.type.unit])


def _booleans(_: str, values: pa.Array) -> ColumnValues:
    rows = pc.fill_null(values.cast(pa.int8()), 2).to_numpy(zero_copy_only=False)
    return Coded(rows.astype(np.intp), (False, True, None))


def _times(_: str, values: pa.Array) -> ColumnValues:
    times = values.cast(pa.timestamp("s")) if pa.types.is_date(values.type) else values
    many, per = _MICROSECONDS[times.type.unit]
    encoded = pc.dictionary_encode(times.cast(pa.int64()), null_encoding="encode")
    distinct = [None if raw is None else Time(raw * many // per) for raw in encoded.dictionary.to_pylist()]
    return Coded(encoded.indices.to_numpy(zero_copy_only=False).astype(np.intp), distinct)


def _texts(column: str, values: pa.Array) -> ColumnValues:
    encoded = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values)
    # A dictionary may hold nulls, and may hold more values than these rows have.
    distinct = [*encoded.dictionary.to_pylist(), None]
    rows = pc.fill_null(encoded.indices.cast(pa.int64()), len(distinct) - 1).to_numpy(zero_copy_only=False)
    return coded(column, distinct, rows.astype(np.intp))


def _nothing(_: str, values: pa.Array) -> ColumnValues:
    return Numbers(np.full(len(values), np.nan))


def _encoded(column: str, values: pa.Array) -> ColumnValues:
    of_texts = any(holds(values.type.value_type) for holds in _TEXTS)
    return _texts(column, values) if of_texts else from_arrow(column, values.dictionary_decode())


def _clocks(column: str, values: pa.Array) -> ColumnValues:
    return coded(column, values.cast(pa.time64("us"), safe=False).to_pylist(), np.arange(len(values)))


_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
)
_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str, pa.Array], ColumnValues]], ...] = (
    (pa.types.is_floating, _numbers),
    (pa.types.is_integer, _numbers),
    *((holds, _texts) for holds in _TEXTS),
    (pa.types.is_boolean, _booleans),
    (pa.types.is_dictionary, _encoded),
    (pa.types.is_timestamp, _times),
    (pa.types.is_date, _times),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_duration, _durations),
    (pa.types.is_time, _clocks),
    (pa.types.is_null, _nothing),
)

"""Rows in Parquet, some thousand at a time."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.errors import InvalidInput, TooLarge
from app.services.data_drift.arrow_columns import from_arrow, is_text, longest_of
from app.services.data_drift.columns import LONGEST_UNREAD, Chunk, Wanted, unread_too_long
from app.services.data_drift.json_rows import check_names

ROWS = 50_000
MOST_ROWS = 10_000_000
"""Rows of a file. A few bytes can stand for any number of equal values."""
_MAGIC = b"PAR1"


def chunks_of(body: bytes, wanted: Wanted) -> Iterator[Chunk]:
    """The rows of a file. InvalidInput for one that is damaged."""
    try:
        file = pq.ParquetFile(pa.BufferReader(body), pre_buffer=False, memory_map=False)
        schema = file.schema_arrow
        check_names(schema.names)
        if file.metadata.num_rows > MOST_ROWS:
            raise TooLarge(f"The file has {file.metadata.num_rows} rows: at most {MOST_ROWS} at once.")
        _check_unread(body, file, [name for name in schema.names if not wanted(name)])
        names = frozenset(schema.names)
        columns = [name for name in schema.names if wanted(name)]
        if not columns:
            yield Chunk(file.metadata.num_rows, {}, names)
            return
        for batch in file.iter_batches(ROWS, columns=columns, use_threads=False):
            read = {name: from_arrow(name, batch.column(place)) for place, name in enumerate(batch.schema.names)}
            yield Chunk(batch.num_rows, read, names)
    except (pa.ArrowMemoryError, MemoryError):
        raise MemoryError from None
    except (pa.ArrowException, OSError, ValueError, OverflowError, UnicodeDecodeError) as error:
        what = "is damaged, or of a kind that is not read" if body[:4] == _MAGIC else "is no Parquet file"
        raise InvalidInput(f"The body {what}: {_short(error)}") from None


def _check_unread(body: bytes, file: pq.ParquetFile, columns: Sequence[str]) -> None:
    """Refuse a value that is too long, of a column that is not counted. Only where there may be one is it looked for.

    Such columns are read as dictionaries, so that a value that is there often takes its memory once.
    """
    texts = {name for name in columns if is_text(file.schema_arrow.field(name).type)}
    groups: dict[str, list[int]] = defaultdict(list)
    for group in range(file.metadata.num_row_groups if texts else 0):
        about = file.metadata.row_group(group)
        for place in range(about.num_columns):
            column = about.column(place)
            if column.path_in_schema in texts and column.total_uncompressed_size > LONGEST_UNREAD:
                groups[column.path_in_schema].append(group)
    for name, some in groups.items():
        one = pq.ParquetFile(pa.BufferReader(body), pre_buffer=False, memory_map=False, read_dictionary=[name])
        for batch in one.iter_batches(ROWS, some, columns=[name], use_threads=False):
            values = batch.column(0)
            distinct = values.dictionary if pa.types.is_dictionary(values.type) else values
            if longest_of(distinct) > LONGEST_UNREAD:
                raise unread_too_long(name)


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__

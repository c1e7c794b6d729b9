"""Rows in CSV: UTF-8, commas, and the columns' names in the first line."""

import csv
import io
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.csv as pcsv

from app.domain.data_drift.canonical import MISSING_WORDS, Value, read_text
from app.domain.errors import InvalidInput
from app.services.data_drift.arrow_columns import from_arrow
from app.services.data_drift.columns import Chunk, Wanted
from app.services.data_drift.json_rows import check_names

T = TypeVar("T")
Content = Callable[[], Iterable[bytes]]
"""Gives the pieces of the content, from its beginning."""
_BLOCK = 1 << 20
_SAMPLE_ROWS = 500
# So many columns that look like numbers may have texts further down. Then all are read as texts.
_MOST_SURPRISES = 3
_NULLS = sorted({spelt for word in MISSING_WORDS for spelt in (word, word.upper(), word.title())} | {"NaN", "NaT"})
_UNEVEN = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)")
_COLUMN_OF_ERROR = re.compile(r"In CSV column #([0-9]+): .*CSV conversion error to double", re.S)
# Texts like `007` read as numbers, and are none.
_CODE = re.compile(rb"(?:^|[,\"\n\r])[ \t]*(?:[+-]?0[0-9]|\+)")
_OVERLAP = 64
_NEEDS_NAME = "names have 1 to 250 characters. pandas writes such a column unless it is called with index=False."
NO_NAMES = (
    "The first line looks like a row: it has numbers where the lines below have numbers. Send the columns' names in "
    "the first line. If these are their names, send NDJSON or Parquet instead."
)
OPEN_QUOTE = "A quotation mark in the CSV is not closed."


class _NotNumbers(Exception):
    """A column that was read as numbers has a text."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class Csv:
    """The rows of a content. `numeric` are the columns that shall be read as numbers; None for all that look so."""

    def __init__(self, content: Content, wanted: Wanted, numeric: Iterable[str] | None) -> None:
        self._content = content
        self._wanted = wanted
        head = self._head()
        self._names = _header(head)
        if "" in self._names:
            raise InvalidInput(f"Column {self._names.index('') + 1} has no name: {_NEEDS_NAME}")
        check_names(self._names)
        if numeric is None:
            if len(self._names) == 1 and re.search(r"[;\t]", self._names[0]):
                raise InvalidInput("The first line has no comma: send CSV with commas between the columns.")
            self._refuse_row(head)
        self._numeric = self._like_numbers(head) if numeric is None else set(numeric)
        self._surprises = 0

    def consumed(self, use: Callable[[Iterable[Chunk]], T]) -> T:
        """What `use` makes of all chunks. It is called again, from the beginning, if a text is among the numbers."""
        while True:
            try:
                return use(self._chunks())
            except _NotNumbers as error:
                self._surprises += 1
                self._numeric.discard(error.column)
                if self._surprises >= _MOST_SURPRISES:
                    self._numeric.clear()

    def _head(self) -> bytes:
        head = b""
        for piece in self._content():
            head += piece
            if len(head) >= _BLOCK:
                break
        return head.removeprefix(b"\xef\xbb\xbf")

    def _refuse_row(self, head: bytes) -> None:
        """Refuse a first line that is a row: each column with numbers below has a number there too.

        Numbers that count up are names, as pandas gives them to columns that have none.
        """
        sample = [row for row in _sample(head) if len(row) == len(self._names)]
        numbers = []
        for place, texts in enumerate(zip(*sample, strict=True)):
            kinds = {type(value) for text in texts if (value := read_text(text)) is not None}
            if kinds != {float}:
                continue
            name = read_text(self._names[place])
            if not isinstance(name, float):
                return
            numbers.append(name - place)
        counts_up = len(set(numbers)) == 1 and (len(numbers) > 1 or numbers[0] in (0, 1))
        if numbers and not counts_up:
            raise InvalidInput(NO_NAMES)

    def _like_numbers(self, head: bytes) -> set[str]:
        end = b""
        for piece in self._content():
            if _CODE.search(end + piece):
                return set()
            end = piece[-_OVERLAP:]
        numeric = set(self._names)
        for row in _sample(head):
            numeric -= {
                name for name, text in zip(self._names, row, strict=False) if not _may_be_number(read_text(text))
            }
        return numeric

    def _chunks(self) -> Iterator[Chunk]:
        names = frozenset(self._names)
        included = [name for name in self._names if self._wanted(name)]
        end = _End(len(names))
        try:
            for batch in self._batches(end, included or self._names[:1]):
                columns = {name: from_arrow(name, batch.column(name)) for name in included}
                yield Chunk(batch.num_rows, columns, names)
            if not end.is_found:
                raise InvalidInput(OPEN_QUOTE)
        except (pa.ArrowMemoryError, MemoryError):
            raise MemoryError from None
        except (pa.ArrowException, OSError, ValueError) as error:
            text = str(error)
            if match := _COLUMN_OF_ERROR.match(text):
                raise _NotNumbers(self._names[int(match[1])]) from None
            if end.is_within_quotes:
                raise InvalidInput(OPEN_QUOTE) from None
            raise InvalidInput(f"The body is no CSV that can be read: {_why(text)}.") from None

    def _batches(self, end: "_End", included: list[str]) -> Iterable[pa.RecordBatch]:
        types = {name: pa.float64() if name in self._numeric else pa.string() for name in included}
        reader: Iterable[pa.RecordBatch] = pcsv.open_csv(
            io.BufferedReader(_File(end.behind(self._content())), _BLOCK),
            read_options=pcsv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pcsv.ParseOptions(newlines_in_values=True, invalid_row_handler=end.seen),
            convert_options=pcsv.ConvertOptions(
                column_types=types, include_columns=included, null_values=_NULLS, strings_can_be_null=False
            ),
        )
        return reader


class _End:
    """A row behind a content, with a value more than there are columns. It tells whether the content ends in quotes.

    Arrow takes all that follows an open quotation mark as one value, this row too, and says nothing.
    """

    def __init__(self, columns: int) -> None:
        # Nobody knows it before, so that no content has it.
        self._row = secrets.token_hex(16) + "," * columns
        self.is_found = self.is_within_quotes = False

    def behind(self, content: Iterable[bytes]) -> Iterator[bytes]:
        yield from content
        yield f"\n{self._row}\n".encode()

    def seen(self, row: Any) -> str:
        """What Arrow does with a row that has too many or too few values.

        A row that is no UTF-8 cannot be handed over. Python writes that to the standard error, and Arrow refuses it.
        """
        if row.text == self._row:
            self.is_found = True
            return "skip"
        self.is_within_quotes = row.text.endswith(self._row)
        return "error"


class _File(io.RawIOBase):
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        many = min(len(buffer), len(self._rest))
        buffer[:many] = self._rest[:many]
        self._rest = self._rest[many:]
        return many


def _rows(head: bytes) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(head.decode(errors="replace"), newline=""))


def _sample(head: bytes) -> Iterator[list[str]]:
    """Some rows behind the first line, up to one that this parser does not take: Arrow says what is wrong."""
    with suppress(csv.Error):
        yield from islice(_rows(head), 1, _SAMPLE_ROWS)


def _header(head: bytes) -> list[str]:
    try:
        head.partition(b"\n")[0].decode()
    except UnicodeDecodeError:
        raise InvalidInput("The first line is no UTF-8: save the file in UTF-8.") from None
    try:
        names = next((row for row in _rows(head) if row), None)
    except csv.Error as error:
        raise InvalidInput(f"The first line of the CSV cannot be read: {error}.") from None
    if names is None:
        raise InvalidInput("The body has no line: send CSV with the columns' names in the first one.")
    return names


def _may_be_number(value: Value) -> bool:
    return value is None or type(value) is float


def _why(text: str) -> str:
    """What is wrong, by Arrow's message, which may quote a row: that is in no answer."""
    if match := _UNEVEN.search(text):
        row = f"row {match[1]}" if match[1] else "a row"
        return f"{row} has {match[3]} values, and there are {match[2]} columns"
    if "straddling" in text:
        return f"a row has more than {_BLOCK >> 20} MiB, or a quotation mark is not closed"
    if "Empty CSV" in text:
        return "a quotation mark in the first line is not closed"
    return "a value is no UTF8" if "UTF8" in text else "it is damaged"

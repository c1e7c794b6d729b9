"""Rows in JSON: an object with `rows`, or an object a line (NDJSON)."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from app.domain.data_drift.layout import LONGEST_NAME, MOST_COLUMNS, check_name
from app.domain.errors import InvalidInput
from app.services.data_drift.columns import Chunk, Wanted, check_unread, from_objects

ROWS = 2_000
"""Rows of a chunk of a document, which orjson parses as a whole."""
_LONGEST_LINE = 4 << 20
# Digits, with a sign, of whole numbers that have no more than 64 bits.
_ALWAYS_WHOLE = 18
_NOT_NUMBERS = (b"NaN", b"Infinity")

Row = dict[str, Any]


def document(body: bytes) -> Row:
    """The JSON object of a body. InvalidInput for anything else, and for a row that has a column twice."""
    parsed = _parsed(body, "The body")
    if not isinstance(parsed, dict):
        raise InvalidInput("The body must be a JSON object with 'rows', a list of objects.")
    rows = parsed.get("rows")
    if isinstance(rows, list) and rows:
        _check(rows, 1)
        _refuse_twice([body], sum(map(len, rows)) + len(parsed))
    return parsed


def chunks_of(rows: object, wanted: Wanted) -> Iterator[Chunk]:
    """The rows of a document."""
    if not isinstance(rows, list):
        raise InvalidInput("'rows' must be a list of objects, one for each row.")
    for start in range(0, len(rows), ROWS):
        yield _chunk(rows[start : start + ROWS], wanted)


def chunks_of_lines(pieces: Iterable[bytes], wanted: Wanted) -> Iterator[Chunk]:
    """The rows of NDJSON. Empty lines are no rows."""
    first = 1
    for block in _whole_lines(pieces):
        lines = [line for line in block.splitlines() if line.strip()]
        if not lines:
            first += block.count(b"\n")
            continue
        rows = _rows_of(lines, first)
        _refuse_twice(lines, sum(map(len, rows)))
        yield _chunk(rows, wanted)
        first += block.count(b"\n")


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        head, line_end, tail = piece.rpartition(b"\n")
        if line_end:
            yield rest + head + line_end
            rest = tail
        else:
            rest += tail
        if len(rest) > _LONGEST_LINE:
            raise InvalidInput(f"A line has more than {_LONGEST_LINE >> 20} MiB: send one row a line.")
    if rest:
        yield rest


def _rows_of(lines: list[bytes], first: int) -> list[Row]:
    try:
        rows: list[Row] = orjson.loads(b"[" + b",".join(lines) + b"]")
    except orjson.JSONDecodeError:
        rows = []
    if len(rows) != len(lines):
        # A line that is no JSON, or that has several rows.
        rows = [_parsed(line, f"Line {number}") for number, line in enumerate(lines, first)]
    _check(rows, first)
    return rows


def _parsed(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "memory" in str(error):
            raise MemoryError from None
        if "infinity" in str(error):
            return _with_large_numbers(text, what)
        why = f"{what} is not valid JSON: {error}."
        if any(word in text[max(0, error.pos - 12) : error.pos + 12] for word in _NOT_NUMBERS):
            why = f"{what} is not valid JSON, which has no NaN and no Infinity: send null where there is no value."
        raise InvalidInput(why) from None


def _with_large_numbers(text: bytes, what: str) -> Any:
    """JSON with numbers beyond the largest float, which orjson refuses. As in other formats they are infinite."""
    try:
        parsed = json.loads(text.decode(), parse_int=_whole, parse_constant=_refuse_constant)
        # Python takes halves of characters, which no other format has.
        orjson.dumps(parsed)
    except RecursionError:
        raise InvalidInput("The body is nested too deeply.") from None
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{what} is not valid JSON: {error}.") from None
    return parsed


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _ALWAYS_WHOLE else float(digits)


def _refuse_constant(_: str) -> None:
    raise ValueError("it has no NaN and no Infinity: send null where there is no value")


def _check(rows: list[Any], first: int) -> None:
    if set(map(type, rows)) - {dict}:
        number = next(number for number, row in enumerate(rows, first) if not isinstance(row, dict))
        raise InvalidInput(f"Row {number} is not an object: send each row as one, with the columns' names as keys.")


def _refuse_twice(documents: Sequence[bytes], keys: int) -> None:
    """Refuse a name that is there twice in a row, of which orjson keeps the last. `keys` is how many keys it found.

    Behind each key is a quote and a colon, so there are as many of them unless texts have such or other blanks are
    used. Only then all is parsed once more.
    """
    if sum(text.count(b'":') + text.count(b'" :') for text in documents) == keys:
        return
    try:
        for text in documents:
            json.loads(text, object_pairs_hook=_once, parse_int=float)
    except RecursionError:
        raise InvalidInput("The body is nested too deeply.") from None


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"Column '{twice[:LONGEST_NAME]}' is there twice in a row.")
    return row


def _chunk(rows: list[Row], wanted: Wanted) -> Chunk:
    names: dict[str, None] = dict.fromkeys(rows[0])
    is_even = True
    for row in rows:
        if row.keys() != names.keys():
            is_even = False
            names.update(dict.fromkeys(row))
    check_names(list(names))
    columns = {}
    for name in names:
        if wanted(name):
            values = list(map(itemgetter(name), rows)) if is_even else [row.get(name) for row in rows]
            columns[name] = from_objects(name, values)
        else:
            check_unread(name, (row.get(name) for row in rows))
    return Chunk(len(rows), columns, frozenset(names))


def check_names(names: list[str]) -> None:
    """Refuse names that no column can have, too many of them, and those that are there twice."""
    if len(names) > MOST_COLUMNS:
        raise InvalidInput(f"There are {len(names)} columns: at most {MOST_COLUMNS}.")
    for name in names:
        check_name(name)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"Column '{twice}' is there twice.")

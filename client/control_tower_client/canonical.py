"""What a value is, whatever the format it came in: missing, a number, true or false, a time, or a text.

`1`, `1.0` and `"1"` are one value, and so are `true` and `"True"`. docs/data-drift.md has the rules for users; the
Python client has the same ones.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none"})
"""Texts that say that there is no value, in lower case."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?", re.ASCII | re.I)
_CODE = re.compile(r"[+-]?0[0-9]+|\+.*", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.ASCII | re.I,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Above, a float64 no longer has all digits of a whole number.
_ALL_DIGITS = 1e15


@dataclass(frozen=True, slots=True)
class Time:
    """A time, in microseconds since 1970 (UTC)."""

    microseconds: int


@dataclass(frozen=True, slots=True)
class Code:
    """A text that reads as a number, and that a number would not be written as: `007`. A number in numeric columns."""

    text: str


Value = float | bool | Time | Code | str | None
"""A value as it counts. None is missing."""


class NoValue(TypeError):
    """Something that is no single value, such as a list."""


def read_text(text: str) -> Value:
    """The value that a text says. White space around it does not count."""
    text = text.strip()
    if text.lower() in MISSING_WORDS:
        return None
    if _NUMBER.fullmatch(text):
        return Code(text) if _CODE.fullmatch(text) else float(text)
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    match = _TIME.fullmatch(text)
    return _time(match, text) if match else text


def read(value: object) -> Value:
    """The value of a Python object. Raises `NoValue` for lists and the like."""
    kind = type(value)
    if kind is str:
        return read_text(str(value))
    if value is None or kind is bool:
        return value  # type: ignore[return-value]  # both are values as they are
    reader = _READERS.get(kind)
    if reader is None:
        raise NoValue(kind.__name__)
    return reader(value)


def number_of(value: Value) -> float | None:
    """The value in a numeric column: True is 1, a time its seconds since 1970. None for texts and missing values."""
    if isinstance(value, Time):
        return value.microseconds / 1e6
    if isinstance(value, Code):
        return float(value.text)
    return None if value is None or isinstance(value, str) else float(value)


def text_of(value: Value) -> str | None:
    """The value in a categorical column: its category. None if it is missing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return text_of_number(value)
    if isinstance(value, Time):
        return text_of_time(value.microseconds)
    return value.text if isinstance(value, Code) else value


def text_of_number(number: float) -> str:
    """A number as a category: a whole number without a fraction, others with as few digits as tell them apart."""
    return str(int(number)) if abs(number) < _ALL_DIGITS and number.is_integer() else repr(number)


def text_of_time(microseconds: int) -> str:
    """A time as a category, as `2026-11-21T08:00:00Z`."""
    moment = _EPOCH + microseconds * _MICROSECOND
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _number(value: float | Decimal) -> Value:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number


def _time(match: re.Match[str], text: str) -> Value:
    day, clock, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or '+00:00'}".upper())
        return Time((moment - _EPOCH) // _MICROSECOND)
    except (ValueError, OverflowError):
        return text


def _moment(value: datetime) -> Value:
    return Time(((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND)


def _bytes(value: bytes) -> Value:
    try:
        return read_text(value.decode())
    except UnicodeDecodeError:
        raise NoValue("bytes that are no text") from None


_READERS: dict[type, Callable[..., Value]] = {
    int: _number,
    float: _number,
    Decimal: _number,
    datetime: _moment,
    date: lambda day: _moment(datetime(day.year, day.month, day.day, tzinfo=UTC)),
    time: lambda clock: clock.isoformat(),
    timedelta: lambda duration: duration.total_seconds(),
    bytes: _bytes,
}

"""Times: milliseconds since 1970 inside, RFC 3339 in UTC outside."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.errors import InvalidInput

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:[0-5]\d)\Z", re.ASCII)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
# Clocks differ: a time is in the future only if it is later than now by more than this.
TOLERANCE_MS = 300_000
# The calendar repeats itself after 400 years.
_CALENDAR_YEARS, _CALENDAR_MS = 400, 146_097 * DAY_MS
# The first and the last millisecond that RFC 3339 can write: of the years 1 and 9999.
_FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999


def rfc3339(ms: int | None) -> str | None:
    """`1701424800000` -> `2023-12-01T10:00:00Z`, with milliseconds only if there are any.

    Returns None for None, and for a time that RFC 3339 cannot write.
    """
    if ms is None or not 0 <= ms <= LAST_MS:
        return None
    seconds, rest = divmod(ms, 1000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    # strftime does not pad years below 1000, which cannot occur after 1970.
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"


def written(ms: int) -> str:
    """A time that `parse_rfc3339` read, in UTC. Unlike times of MLflow, it may lie before 1970."""
    time = _EPOCH.replace(tzinfo=None) + timedelta(milliseconds=ms)
    return f"{time.isoformat(timespec='milliseconds' if ms % 1000 else 'seconds')}Z"


def day_start(ms: int) -> int:
    """Midnight, in UTC, of the day of `ms`."""
    return ms - ms % DAY_MS


def parse_rfc3339(text: Any, place: str) -> int:
    """The milliseconds since 1970 of a time that a client wrote. Raises `InvalidInput`, which names the field."""
    if not isinstance(text, str) or not (match := _WRITTEN.match(text)):
        raise InvalidInput(f"{place}: Not a time. Write it as 2023-12-01T10:00:00Z, with its offset from UTC.")
    fraction = (match[1] or "")[:7]
    written = f"{text[:10]}T{text[11:19]}{fraction}{match[2].upper()}"
    try:
        since = datetime.fromisoformat(written) - _EPOCH
    except (ValueError, OverflowError):
        raise InvalidInput(f"{place}: There is no such time.") from None
    ms = since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000
    if not _FIRST_MS <= ms <= LAST_MS:
        raise InvalidInput(f"{place}: In UTC this time is not in the years 1 to 9999.")
    return ms


def day_of(ms: int) -> str:
    """The day of `ms`, in UTC: `2023-12-01`. Any time will do: sent in a wrong unit, it may be in the year 57842."""
    cycles, rest = divmod(ms, _CALENDAR_MS)
    day = datetime.fromtimestamp(rest // 1000, UTC)
    return f"{day.year + cycles * _CALENDAR_YEARS:04d}-{day:%m-%d}"


def day_in_words(ms: int, now: int) -> str:
    """The day of `ms`, in UTC: `23 November`, with the year if it is not that of `now`. Any time will do."""
    year, month, day = day_of(ms).split("-")
    words = f"{int(day)} {_MONTHS[int(month) - 1]}"
    return words if year == day_of(now)[:4] else f"{words} {year}"


def is_future(ms: int, now: int) -> bool:
    """Whether a time is later than now by more than clocks may differ."""
    return ms > now + TOLERANCE_MS


def age_ms(ms: int | None, now: int) -> int | None:
    """How long ago a time was, never less than 0; None if it is unknown or in the future."""
    return None if ms is None or is_future(ms, now) else max(0, now - ms)

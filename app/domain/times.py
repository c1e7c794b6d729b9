"""Times: milliseconds since 1970 inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last millisecond that RFC 3339 can write: year 9999.
_LAST_MS = 253_402_300_799_999


def rfc3339(ms: int | None) -> str | None:
    """`1701424800000` -> `2023-12-01T10:00:00Z`, with milliseconds only where there are any.

    None, and a time that RFC 3339 cannot write, give None.
    """
    if ms is None or not 0 <= ms <= _LAST_MS:
        return None
    seconds, rest = divmod(ms, 1000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    # strftime does not pad years below 1000, which cannot occur after 1970.
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"


def day_start(ms: int) -> int:
    """Midnight, in UTC, of the day of `ms`."""
    return ms - ms % DAY_MS

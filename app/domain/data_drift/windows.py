"""The window that a batch is of."""

from typing import Any

from app.domain.errors import InvalidInput
from app.domain.times import DAY_MS, LAST_MS, day_start, is_future, parse_rfc3339

_LONGEST_DAYS = 366


def today(now: int) -> tuple[int, int]:
    """The window of today, in UTC: start and end in milliseconds."""
    return day_start(now), day_start(now) + DAY_MS


def window_of(start: Any, end: Any, now: int) -> tuple[int, int] | None:
    """Start and end in milliseconds, from RFC 3339; None if neither is given. Raises `InvalidInput`."""
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise InvalidInput("window_start: Give both, window_start and window_end, or none for today (UTC).")
    since, until = parse_rfc3339(start, "window_start"), parse_rfc3339(end, "window_end")
    if since >= until:
        raise InvalidInput("window_end: must be after window_start.")
    if since < 0:
        raise InvalidInput("window_start: is before 1970.")
    if until - since > _LONGEST_DAYS * DAY_MS:
        raise InvalidInput(f"window_end: a window is at most {_LONGEST_DAYS} days long.")
    if is_future(since, now):
        raise InvalidInput("window_start: is in the future.")
    return since, until


def can_be_shown(start: int, end: int) -> bool:
    """Whether answers can have a window, whose times they write as RFC 3339."""
    return 0 <= start < end <= LAST_MS

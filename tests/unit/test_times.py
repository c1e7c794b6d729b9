"""Times: RFC 3339 outside, milliseconds inside."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.times import DAY_MS, day_start, parse_rfc3339, rfc3339, written

_LAST = 253_402_300_799_999


@given(st.integers(0, _LAST))
def test_a_time_is_written_in_utc_and_can_be_read_back_to_the_millisecond(ms: int) -> None:
    text = rfc3339(ms)
    assert text is not None
    assert text.endswith("Z")
    read = datetime.fromisoformat(text)
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == ms


@given(st.integers(-62_135_596_800_000, _LAST))
def test_any_time_that_a_client_may_write_can_be_written_back(ms: int) -> None:
    assert parse_rfc3339(written(ms), "at") == ms


@given(st.lists(st.integers(0, _LAST // 1000).map(lambda seconds: seconds * 1000), min_size=2))
def test_written_times_sort_as_the_times_do(times: list[int]) -> None:
    written = [str(rfc3339(ms)) for ms in times]
    assert [rfc3339(ms) for ms in sorted(times)] == sorted(written)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_701_424_800_000, "2023-12-01T10:00:00Z"),
        (1_701_424_800_007, "2023-12-01T10:00:00.007Z"),
        (_LAST, "9999-12-31T23:59:59.999Z"),
        (_LAST + 1, None),
        (-1, None),
        (None, None),
        (2**63, None),
    ],
)
def test_a_time_that_cannot_be_written_is_null(ms: int | None, text: str | None) -> None:
    assert rfc3339(ms) == text


@given(st.integers(0, _LAST))
def test_a_day_starts_at_midnight_in_utc(ms: int) -> None:
    start = day_start(ms)
    assert start <= ms < start + DAY_MS
    assert str(rfc3339(start)).endswith("T00:00:00Z")
    assert str(rfc3339(start))[:10] == str(rfc3339(ms))[:10]

"""Pages of a list, against the plainest way to cut one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.registry.query import ListQuery, page_of, pagination


@given(st.integers(0, 60), st.none() | st.integers(1, 80), st.none() | st.integers(1, 20), st.integers(1, 25))
def test_pages_cut_the_list_without_a_gap_and_the_header_tells_where(
    total: int, page: int | None, size: int | None, most: int
) -> None:
    rows = list(range(total))
    query = ListQuery(page=page, page_size=size)
    if size is not None and size > most:
        with pytest.raises(InvalidInput):
            page_of(query, total, most)
        return
    chosen = page_of(query, total, most)
    size = size or most
    chunks = [rows[start : start + size] for start in range(0, total, size)]
    number = page or 1
    assert rows[chosen.rows] == (chunks[number - 1] if number <= len(chunks) else [])
    told = pagination(chosen)
    assert (told["total"], told["total_pages"]) == (total, len(chunks))
    if total:
        assert told["page"] == number
        assert (told["first_page"], told["last_page"]) == (1, len(chunks))
        assert told.get("next_page") == (number + 1 if number < len(chunks) else None)
        assert told.get("previous_page") == (number - 1 if 1 < number <= len(chunks) + 1 else None)
    assert json.loads(json.dumps(told)) == told

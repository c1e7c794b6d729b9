"""Filters, order and pages, against the plainest way to say the same."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.registry.models import ModelVersion, Registration, TrackedModel
from app.domain.registry.query import SORTS, ListQuery, page_of, pagination, select
from app.domain.registry.stages import MODEL_TYPES, STAGES

_names = st.sampled_from(["a", "A", "ab", "ß", "SS", "x y"])
_tags = st.dictionaries(st.sampled_from(["t", "u"]), st.sampled_from(["", "1", "1:2"]))
_types = st.none() | st.sampled_from([*MODEL_TYPES, "other"])
_rows = st.builds(
    lambda name, version, stage, created, updated, tags, aliases, kind: TrackedModel(
        ModelVersion(name, version, "None", created, updated, tags=tags), aliases, stage, "stage", kind
    ),
    _names,
    st.integers(1, 5),
    st.sampled_from(STAGES),
    st.integers(0, 3),
    st.integers(0, 3),
    _tags,
    st.lists(st.sampled_from(["p", "q"]), unique=True).map(tuple),
    _types,
)
_fleets = st.lists(_rows, unique_by=lambda m: m.key, max_size=12).map(
    lambda rows: sorted(rows, key=lambda m: (m.row.name, -m.row.version))
)
_queries = st.builds(
    ListQuery,
    name=st.none() | st.sampled_from(["", "a", "B", "ss", "zz"]),
    stage=st.none() | st.sampled_from(STAGES),
    alias=st.none() | st.sampled_from(["p", "q", "r"]),
    model_type=_types,
    tags=st.lists(st.tuples(st.sampled_from(["t", "u"]), st.sampled_from(["", "1", "1:2"])), max_size=2).map(tuple),
    sort=st.none() | st.sampled_from([*SORTS, *(f"-{name}" for name in SORTS)]),
)


def _registrations(rows: list[TrackedModel], monitored: dict[int, str]) -> dict[tuple[str, int], Registration]:
    return {
        rows[n].key: Registration(rows[n].row.name, rows[n].row.version, kind, "ada", 0, "", rows[n].row.created)
        for n, kind in monitored.items()
        if n < len(rows)
    }


def _fits(row: TrackedModel, query: ListQuery, kind: str | None) -> bool:
    return (
        (query.name is None or query.name.casefold() in row.row.name.casefold())
        and (query.stage is None or row.stage == query.stage)
        and (query.alias is None or query.alias in row.aliases)
        and (query.model_type is None or kind == query.model_type)
        and all((key, value) in row.row.tags.items() for key, value in query.tags)
    )


@given(_fleets, _queries, st.dictionaries(st.integers(0, 11), st.sampled_from(MODEL_TYPES), max_size=4))
def test_a_query_gives_the_rows_that_fit_in_the_order_asked_for(
    rows: list[TrackedModel], query: ListQuery, monitored: dict[int, str]
) -> None:
    registrations = _registrations(rows, monitored)
    kinds = {row.key: registrations[row.key].model_type if row.key in registrations else row.model_type for row in rows}
    fitting = [row for row in rows if _fits(row, query, kinds[row.key])]
    found = list(select(rows, query, registrations))
    if query.sort is None:
        assert found == fitting
        return

    def place(row: TrackedModel) -> Any:
        values = (row.row.name, row.row.created, row.row.updated)
        return values[SORTS.index(str(query.sort).lstrip("-"))]

    sign = -1 if query.sort.startswith("-") else 1
    assert sorted(found, key=rows.index) == fitting
    for before, after in pairwise(found):
        one, other = place(before), place(after)
        # Where two are equal, they stay in the list's own order.
        assert (one < other if sign == 1 else one > other) or (one == other and rows.index(before) < rows.index(after))


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

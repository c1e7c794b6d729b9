"""Bins and counts: the same rows give the same counts, however they arrive, and nobody's value is named."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.data_drift.binning import categories, counted, numeric_bins
from app.domain.data_drift.bins import Categories
from app.domain.data_drift.counts import ColumnCounts, RowCounts, checked, total
from app.domain.errors import InvalidInput

values = st.lists(st.floats(allow_nan=False), max_size=200)
column_counts = st.builds(
    ColumnCounts,
    st.lists(st.integers(0, 10**9), min_size=3, max_size=3).map(tuple),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
parts = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.just(ColumnCounts((1, 2, 0), 1, 2)), max_size=3).map(
        lambda columns: RowCounts(6, columns)
    ),
    max_size=6,
)


@given(values, values, st.randoms(use_true_random=False))
def test_counts_of_numbers_add_up_whatever_the_order_and_the_split(reference: list, window: list, rng) -> None:
    bins = numeric_bins(np.array(reference))
    shuffled = rng.sample(window, len(window))
    cut = rng.randint(0, len(window))
    shards = [ColumnCounts(counted(bins, np.array(part))) for part in (shuffled[:cut], shuffled[cut:])]
    assert shards[1] + shards[0] == ColumnCounts(counted(bins, np.array(window)))
    assert shards[0].rows + shards[1].rows == len(window)


@given(column_counts, column_counts, column_counts)
def test_adding_counts_up_knows_no_order(a: ColumnCounts, b: ColumnCounts, c: ColumnCounts) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a + b).rows == a.rows + b.rows


@given(parts, st.randoms(use_true_random=False))
def test_rows_of_a_part_that_lacks_a_column_have_no_value_in_it(shards: list, rng) -> None:
    whole = total(shards)
    assert whole == total(rng.sample(shards, len(shards)))
    assert all(column.rows == whole.rows for column in whole.columns.values())


def test_bins_have_equal_mass_and_end_before_the_extremes() -> None:
    reference = np.random.default_rng(1).normal(size=100_000)
    bins = numeric_bins(reference)
    counts = counted(bins, reference)
    assert len(counts) == 66
    assert max(counts[2:-2]) - min(counts[2:-2]) <= 2
    assert reference.min() < bins.edges[0] == np.quantile(reference, 0.001, method="higher")
    assert bins.edges[-1] < reference.max()


@pytest.mark.parametrize("rows", [100, 1000, 5000])
def test_neither_the_least_nor_the_greatest_value_is_an_edge(rows: int) -> None:
    reference = np.random.default_rng(1).normal(size=rows)
    bins = numeric_bins(reference)
    assert reference.min() < bins.edges[0]
    assert bins.edges[-1] < reference.max()


@pytest.mark.parametrize("rows", [1, 10, 19, 20, 39, 40, 41, 100, 1000, 1279, 1280, 1300, 2000, 10_000])
@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_an_edge_is_twenty_rows_from_the_next_one_or_a_value_that_is_there_twenty_times(
    rows: int, decimals: int
) -> None:
    reference = np.random.default_rng(1).normal(size=rows).round(decimals)
    edges = numeric_bins(reference).edges
    places = [int((reference < edge).sum()) for edge in edges]
    frequent = {value for value in edges if (reference == value).sum() >= 20}
    own = frequent | {math.nextafter(value, math.inf) for value in frequent}
    gaps = pairwise([(-math.inf, 0), *zip(edges, places, strict=True), (math.inf, rows)])
    assert all(high - low >= 20 or {one, other} <= own | {-math.inf, math.inf} for (one, low), (other, high) in gaps)
    assert len(edges) <= max(1, rows // 20) + 2 * len(frequent)


def test_from_1280_rows_on_there_are_64_bins() -> None:
    values = np.random.default_rng(1).normal(size=1280)
    assert counted(numeric_bins(values), values) == (20,) * 64


def test_a_frequent_value_has_a_cell_of_its_own() -> None:
    rng = np.random.default_rng(1)
    bins = numeric_bins(np.concatenate([np.zeros(9500), rng.exponential(size=500)]))
    window = ColumnCounts(counted(bins, np.array([0.0, 0.0, -1e-300, 1e-300, 5.0])))
    zero = bins.edges.index(0.0) + 1
    assert bins.label(zero, zero) == "0"
    assert window.cells[zero - 1 : zero + 2] == (1, 2, 1)


def test_the_cells_beside_a_frequent_value_are_named_by_it() -> None:
    bins = numeric_bins(np.array([0.0] * 100 + [5.0] * 100))
    assert [bins.label(cell, cell) for cell in range(bins.cells)] == ["below 0", "0", "0 to 5", "5", "above 5"]
    assert [bins.label(0, 1), bins.label(3, 4), bins.label(1, 3)] == ["0 or less", "5 or more", "0 to 5"]
    constant = numeric_bins(np.zeros(100))
    assert [constant.label(cell, cell) for cell in range(3)] == ["below 0", "0", "above 0"]


def test_integer_codes_have_cells_of_their_own() -> None:
    bins = numeric_bins(np.repeat(np.arange(10.0), 100))
    assert [n for n in counted(bins, np.arange(10.0)) if n] == [1] * 10
    assert all(low < high for low, high in pairwise(bins.edges))


def test_a_column_without_values_or_with_one_value_has_bins() -> None:
    assert numeric_bins(np.array([])).cells == 1
    assert counted(numeric_bins(np.full(100, 7.0)), np.array([6.9, 7.0, 7.0, np.inf])) == (1, 2, 1)


def test_rare_categories_are_not_named() -> None:
    reference = [f"city {number}" for number in range(80) for _ in range(200 - number)] + ["a person's name"] * 19
    known = categories("city", reference)
    assert len(known.names) == 50
    assert "a person's name" not in (*known.names, *known.others)
    cells, unknown = known.counted(["city 0", "city 79", "a person's name", "never seen"])
    assert (cells[0], cells[-1], unknown) == (1, 1, 2)


def test_a_million_new_values_are_one_number() -> None:
    known = Categories(("a", "b"))
    assert known.counted(str(number) for number in range(1_000_000)) == ((0, 0), 1_000_000)


def test_an_identifier_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="Column 'customer' looks like an identifier: 1000 different texts"):
        categories("customer", (f"c{number}" for number in range(1000)))


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (ColumnCounts((1, 2)), "2 counts; its bins have 3"),
        (ColumnCounts((5, -1, 0)), "below 0"),
        (ColumnCounts((1, 1, 1)), "add up to 3"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts: ColumnCounts, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        checked("x", counts, Categories(("a", "b"), ("c",)), 4)
